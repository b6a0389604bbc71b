"""Task metrics: what counts as right, and the paired summary."""

import math
import sys

import msgspec
import numpy
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score import rouge_scorer

from tuiwb.compare.metrics import overlap
from tuiwb.compare.metrics import task as task_metrics
from tuiwb.compare.metrics.json_schema import JsonSchema, read_schema
from tuiwb.compare.metrics.measure import Options, measure
from tuiwb.compare.metrics.patterns import Pattern
from tuiwb.compare.metrics.scored import Answered, Asked
from tuiwb.compare.stats.paired import tango
from tuiwb.errors import BadInput

TICKET = '{"order": "A17", "status": "late", "days": 3}'


@pytest.mark.parametrize(
    ("answer", "reference", "exact", "normalised"),
    [
        ("Paris", "Paris", 1.0, 1.0),
        (" Paris\n", "Paris", 1.0, 1.0),
        ("The paris!", "Paris", 0.0, 1.0),
        ("Paris, France", "Paris", 0.0, 0.0),
        ("", "", 1.0, 1.0),
    ],
)
def test_exact_match_forgives_outer_space_and_normalised_match_case_and_articles(
    answer, reference, exact, normalised
):
    assert task_metrics.exact_match(answer, reference) == exact
    assert task_metrics.normalised_match(answer, reference) == normalised


@pytest.mark.parametrize(
    ("answer", "reference", "f1"),
    [
        ("the cat sat", "a cat sat down", 0.8),
        ("dog", "cat", 0.0),
        ("", "cat", 0.0),
        ("", "", 1.0),
        ("cat cat cat", "cat", 0.5),
    ],
)
def test_token_f1_counts_shared_words_once_each(answer, reference, f1):
    assert task_metrics.token_f1(answer, reference) == pytest.approx(f1)


@pytest.mark.parametrize(
    ("answer", "valid"),
    [
        (TICKET, 1.0),
        (f"  {TICKET}\n", 1.0),
        ("[1, 2]", 1.0),
        (f"Here you are: {TICKET}", 0.0),
        (f"```json\n{TICKET}\n```", 0.0),
        (TICKET + TICKET, 0.0),
        ('{"a": NaN}', 0.0),
        ('{"a": 1', 0.0),
        ("42", 0.0),
        ("[" * 100_000, 0.0),
    ],
)
def test_json_is_valid_only_as_the_whole_answer(answer, valid):
    assert task_metrics.json_valid(answer, TICKET) == valid


def test_json_metrics_do_not_apply_where_the_reference_is_prose():
    scores = task_metrics.score(TICKET, "Your order is late.")
    assert set(scores) == {"exact_match", "normalised_match", "token_f1"}
    assert task_metrics.score(TICKET, None) == {}


def test_fields_are_compared_one_by_one_with_json_types():
    answer = '{"order": " A17 ", "status": "on time", "days": "3"}'
    assert task_metrics.field_results(answer, TICKET) == {
        "order": True,
        "status": False,
        "days": False,
    }
    assert task_metrics.field_accuracy(answer, TICKET) == pytest.approx(1 / 3)
    assert task_metrics.field_accuracy("not JSON", TICKET) == 0.0


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ('{"days": 3.0, "status": "late", "order": "A17"}', 1.0),
        ('{"order": "A17", "status": "late", "days": 3, "note": "x"}', 0.0),
        ('{"order": "A17", "status": "late", "days": true}', 0.0),
        ('{"order": "A17", "status": "late"}', 0.0),
        ("[]", 0.0),
    ],
)
def test_all_fields_right_means_no_field_wrong_missing_or_added(answer, right):
    assert task_metrics.all_fields(answer, TICKET) == right


def pair(reference, base, adapter=None, **more):
    return Asked(
        base=Answered(base),
        adapter=None if adapter is None else Answered(adapter),
        reference=reference,
        **more,
    )


def by_name(figures):
    return {line.name: line for line in (*figures.metrics, *figures.quantities)}


def test_the_summary_is_paired_and_counts_both_ways():
    rows = [(TICKET, "no idea", TICKET)] * 7 + [(TICKET, TICKET, "{}")] + [(None, "x", "y")]
    lines = by_name(measure([pair(*row) for row in rows]))
    valid = lines["json_valid"]
    assert (valid.n, valid.base_right, valid.adapter_right) == (8, 1, 8)
    everything = lines["all_fields"]
    assert (everything.better, everything.worse) == (7, 1)
    assert everything.p == pytest.approx(2 * 9 / 2**8)
    assert everything.difference == pytest.approx(6 / 8)
    assert everything.difference_interval == tango(7, 1, 8)
    assert everything.p_holm > everything.p


def test_a_run_without_an_adapter_has_base_figures_only():
    (line, *_) = measure([pair("a", "a")]).metrics
    assert (line.base, line.adapter, line.p, line.verdict) == (1.0, None, None, "")


def test_without_references_only_the_answers_themselves_are_measured():
    figures = measure([pair(None, "xy", "x")])
    assert figures.metrics == []
    (length,) = figures.quantities
    assert (length.unit, length.base, length.adapter, length.verdict) == ("characters", 2, 1, "")


def test_a_verdict_counts_in_every_test_that_was_made():
    figures = measure([pair("yes", "no", "yes")] * 20)
    assert {line.verdict for line in figures.metrics} == {"better"}
    # One word has neither a 4-gram nor a pair of words.
    assert not {"bleu", "rouge2"} & set(by_name(figures))
    (exact, *_) = measure([pair("yes", "no", "yes")] * 6).metrics
    assert exact.p < 0.05 < exact.p_holm
    assert exact.verdict == ""


PROSE = [
    ("The cat sat on the mat.", "the cat sat on the mat", "a dog stood on the mat"),
    ("Your parcel arrives on Monday morning.", "It comes Monday", "Your parcel arrives on Monday"),
    ("We are sorry for the delay of your order.", "", "We are sorry for the delay of it."),
    ("Yes.", "Yes.", "No, never."),
] * 4


def test_bleu_is_sacrebleus_of_the_corpus_and_of_each_sentence():
    lines = by_name(measure([pair(*row) for row in PROSE]))
    references = [[row[0] for row in PROSE]]
    for line, side in ((lines["bleu"].base, 1), (lines["bleu"].adapter, 2)):
        theirs = sacrebleu.corpus_bleu([row[side] for row in PROSE], references).score
        assert 100 * line == pytest.approx(theirs, abs=1e-9)
    each = [sacrebleu.sentence_bleu(row[1], [row[0]]).score for row in PROSE]
    assert 100 * lines["sentence_bleu"].base == pytest.approx(sum(each) / len(each))
    interval = lines["bleu"].difference_interval
    assert interval.low <= lines["bleu"].difference <= interval.high
    assert (lines["bleu"].better, lines["bleu"].worse) == (8, 8)
    one_side = by_name(measure([pair(*row[:2]) for row in PROSE]))["bleu"]
    assert (one_side.base, one_side.adapter, one_side.better) == (lines["bleu"].base, None, 0)


WORDS = st.lists(st.sampled_from(["the", "cat", "sat", "on", "a", "mat", "today"]), max_size=9)


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_bleu_from_summed_counts_equals_sacrebleus_corpus_score(pairs):
    answers = [" ".join(said) for said, _ in pairs]
    references = [" ".join(meant) or "empty" for _, meant in pairs]
    counts = [overlap.bleu(a, r)[1] for a, r in zip(answers, references, strict=True)]
    ours = overlap.corpus_bleu(numpy.array(counts).sum(axis=0, keepdims=True))[0]
    theirs = sacrebleu.corpus_bleu(answers, [references], force=True).score
    assert 100 * ours == pytest.approx(theirs, abs=1e-9)


def test_bleu_of_a_corpus_says_nothing_where_no_four_words_are_shared():
    figures = measure([pair("one two three four five", "one two three x", "five four")] * 3)
    assert "bleu" not in by_name(figures)
    assert by_name(figures)["sentence_bleu"].base > 0


def test_rouge_is_the_f_measure_of_rouge_score():
    lines = by_name(measure([pair(*row) for row in PROSE]))
    scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"])
    for name in ("rouge1", "rouge2", "rougeL"):
        rows = [row for row in PROSE if name != "rouge2" or row[0] != "Yes."]
        theirs = [scorer.score(row[0], row[2])[name].fmeasure for row in rows]
        assert lines[name].adapter == pytest.approx(sum(theirs) / len(theirs))
    assert lines["rouge2"].label == "ROUGE-2"


@pytest.mark.parametrize("reference", ["подождите, пожалуйста", "少々お待ちください", "?!"])
def test_rouge_does_not_apply_to_letters_that_it_does_not_know(reference):
    assert overlap.rouge(reference, reference) == {}
    assert overlap.bleu(reference, reference)[0] > 0
    lines = by_name(measure([pair(reference, reference, "x")] * 2))
    assert "rougeL" not in lines
    assert lines["sentence_bleu"].n == 2


@given(WORDS, WORDS)
@settings(max_examples=100, deadline=None)
def test_rouge_l_equals_rouge_scores(said, meant):
    answer, reference = " ".join(said), " ".join(meant)
    theirs = rouge_scorer.RougeScorer(["rougeL"]).score(reference, answer)["rougeL"].fmeasure
    ours = overlap.rouge(answer, reference).get("rougeL", 0.0)
    assert ours == pytest.approx(theirs)


def test_the_common_subsequence_of_long_texts_takes_no_table():
    long = [str(i % 97) for i in range(20_000)]
    assert overlap.common_subsequence(long, long[::2]) == 10_000
    assert overlap.common_subsequence([], long) == 0


def test_without_the_libraries_bleu_and_rouge_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    monkeypatch.setitem(sys.modules, "rouge_score", None)
    figures = measure([pair("a b", "a b", "a")])
    assert not {"bleu", "sentence_bleu", "rouge1"} & set(by_name(figures))
    assert figures.not_run == {
        "BLEU": "not run: pip install sacrebleu (or the metrics extra)",
        "ROUGE": "not run: pip install rouge-score (or the metrics extra)",
    }
    # Where there is nothing to compare with they are not missed.
    assert measure([pair(None, "a", "b")]).not_run == {}


HOSTILE = ["\x1b[31mred", "\ud800 lone", "\x00", "\u202eright to left", "[bold]x[/bold]", "🙂" * 50]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_measured_as_any_other(text):
    patterns = [Pattern("^x")]
    rows = [pair(text, text, "other"), pair("a", text, text)]
    assert by_name(measure(rows, Options(patterns=patterns)))["exact_match"].base == 0.5


SCHEMA = {
    "type": "object",
    "properties": {"order": {"type": "string", "pattern": "^[A-Z]"}, "days": {"type": "integer"}},
    "required": ["order"],
}


def test_schema_validity_is_measured_where_answers_should_be_json():
    rows = [
        pair(TICKET, TICKET, '{"order": "x", "days": 3}'),
        pair(TICKET, "no", '{"order": "B", "days": "3"}'),
        pair("prose", "prose", "prose"),
        pair(None, '{"order": "B"}', "[]"),
    ]
    valid = by_name(measure(rows, Options(schema=JsonSchema(SCHEMA))))["schema_valid"]
    assert (valid.n, valid.base_right, valid.adapter_right) == (3, 2, 0)


def test_a_schemas_problem_says_where_and_what():
    schema = JsonSchema(SCHEMA)
    assert schema.problem('{"order": "B"}') == ""
    assert schema.problem('{"order": "B", "days": "3"}') == "$.days: '3' is not of type 'integer'"
    assert schema.problem("B") == "not a JSON object or array"


def test_a_schema_fetches_nothing():
    schema = JsonSchema({"$ref": "http://127.0.0.1:9/schema.json"}, "s.json")
    with pytest.raises(BadInput, match=r"s.json refers to 'http://127.0.0.1:9/schema.json'"):
        schema.valid("{}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"type": "objekt"}', r"schema.json is no JSON Schema: at \$.type"),
        ('{\n "type": ', "schema.json:2 is not JSON"),
        ("[]", "neither an object nor true or false"),
        (None, "can't read the schema"),
    ],
)
def test_a_broken_schema_file_is_said_in_a_sentence(tmp_path, text, said):
    path = tmp_path / "schema.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BadInput, match=said):
        read_schema(path)


def test_a_regular_expression_is_searched_and_needs_no_reference():
    figures = measure(
        [pair(None, "order A17", "no"), pair("x", "B", "order 9")],
        Options(patterns=[Pattern(r"[A-Z]\d+"), Pattern("^order")]),
    )
    lines = by_name(figures)
    assert (lines[r"/[A-Z]\d+/"].base_right, lines[r"/[A-Z]\d+/"].adapter_right) == (1, 0)
    assert (lines["/^order/"].base_right, lines["/^order/"].adapter_right) == (1, 1)


@pytest.mark.parametrize("pattern", ["(", r"(?=a)b", r"(a)\1", "\ud800"])
def test_an_expression_that_can_not_be_run_in_linear_time_is_refused(pattern):
    with pytest.raises(BadInput, match="is no regular expression of RE2"):
        Pattern(pattern)


def test_fields_are_told_one_by_one_with_those_that_are_missing():
    rows = [
        pair(TICKET, '{"order": "A17"}', TICKET),
        pair(TICKET, "no JSON", '{"order": "A17", "status": "late", "days": 4}'),
        pair('{"order": "B1", "extra": null}', '{"order": "B1"}', '{"order": "B1", "extra": null}'),
        pair("prose", "prose", "prose"),
    ]
    fields = {line.name: line for line in measure(rows).fields}
    assert list(fields) == ["order", "status", "days", "extra"]
    order, days, extra = fields["order"], fields["days"], fields["extra"]
    assert (order.n, order.base_right, order.base_missing, order.adapter_right) == (3, 2, 1, 3)
    assert (days.n, days.base_missing, days.adapter_right, days.adapter_missing) == (2, 2, 1, 0)
    assert (extra.n, extra.base_right, extra.adapter_right) == (1, 0, 1)
    assert order.difference == pytest.approx(1 / 3)
    assert order.difference_interval == tango(1, 0, 3)


def likely(tokens, base, adapter):
    return Asked(
        base=Answered("a", tokens=4, reference_nll=base),
        adapter=Answered("a", tokens=4, reference_nll=adapter),
        reference="a",
        reference_tokens=tokens,
    )


def test_perplexity_is_of_all_reference_tokens_together_and_lower_is_better():
    rows = [likely(10, 20.0, 5.0), likely(30, 90.0, 30.0)] * 8
    line = by_name(measure(rows))["perplexity"]
    assert line.base == pytest.approx(math.exp(110 / 40))
    assert line.adapter == pytest.approx(math.exp(35 / 40))
    assert (line.better, line.worse, line.verdict) == (16, 0, "better")
    interval = line.difference_interval
    assert interval.low <= line.difference <= interval.high < 0
    # A prompt whose reference one side was not scored on is left out for both.
    assert by_name(measure([*rows, likely(10, 1.0, None)]))["perplexity"].n == 16


def test_perplexity_of_the_same_likelihoods_shows_no_difference():
    line = by_name(measure([likely(10, 20.0, 20.0), likely(5, 9.0, 9.0)]))["perplexity"]
    assert (line.difference, line.p, line.better, line.worse) == (0.0, 1.0, 0, 0)


def test_an_impossible_reference_has_a_huge_perplexity_and_no_crash():
    line = by_name(measure([likely(1, 1e6, 1.0)]))["perplexity"]
    assert line.base == pytest.approx(math.exp(700))
    assert msgspec.json.encode(line)


def test_length_time_and_endings_are_figures_of_the_answers():
    rows = [
        Asked(
            base=Answered("x", tokens=10, seconds=0.5, latency=2.0, ended=i > 3),
            adapter=Answered("x", tokens=4 + i % 2, seconds=0.1, latency=1.0 + i / 10),
            reference=None,
        )
        for i in range(12)
    ]
    lines = by_name(measure(rows))
    length, latency, speed = lines["length"], lines["latency"], lines["tokens_per_second"]
    assert (length.base, length.adapter, length.unit) == (10, 4.5, "tokens")
    assert (lines["ended"].base_right, lines["ended"].adapter_right) == (8, 12)
    # Answers of one batch share its time: no test may take them for independent.
    assert (latency.base, latency.adapter) == (2.0, pytest.approx(1.55))
    assert (latency.difference_interval, latency.p) == (None, None)
    assert (speed.base, speed.adapter) == (pytest.approx(20), pytest.approx(45))


def test_the_main_metric_goes_by_what_the_references_are():
    assert measure([pair(TICKET, "x", TICKET)] * 3).main.name == "all_fields"
    assert measure([pair("yes", "no", "yes")] * 3).main.name == "normalised_match"
    long = "a long answer in prose that nobody repeats word for word"
    assert measure([pair(long, "x", "a long answer")] * 3).main.name == "token_f1"
    assert measure([pair(None, "x", "y")]).main is None
