"""Task metrics: what counts as right, and the paired summary."""

import pytest

from tuiwb.compare import metrics

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
    assert metrics.exact_match(answer, reference) == exact
    assert metrics.normalised_match(answer, reference) == normalised


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
    assert metrics.token_f1(answer, reference) == pytest.approx(f1)


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
    assert metrics.json_valid(answer, TICKET) == valid


def test_json_metrics_do_not_apply_where_the_reference_is_prose():
    scores = metrics.score(TICKET, "Your order is late.")
    assert set(scores) == {"exact_match", "normalised_match", "token_f1"}
    assert metrics.score(TICKET, None) == {}


def test_fields_are_compared_one_by_one_with_json_types():
    answer = '{"order": " A17 ", "status": "on time", "days": "3"}'
    assert metrics.field_results(answer, TICKET) == {"order": True, "status": False, "days": False}
    assert metrics.field_accuracy(answer, TICKET) == pytest.approx(1 / 3)
    assert metrics.field_accuracy("not JSON", TICKET) == 0.0


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
    assert metrics.all_fields(answer, TICKET) == right


def test_the_summary_is_paired_and_counts_both_ways():
    rows = [(TICKET, "no idea", TICKET)] * 7 + [(TICKET, TICKET, "{}")] + [(None, "x", "y")]
    lines = {line.name: line for line in metrics.summarise(rows)}
    valid = lines["json_valid"]
    assert (valid.n, valid.base_right, valid.adapter_right) == (8, 1, 8)
    everything = lines["all_fields"]
    assert (everything.better, everything.worse) == (7, 1)
    assert everything.p == pytest.approx(2 * 9 / 2**8)
    assert everything.difference == pytest.approx(6 / 8)
    assert everything.difference_interval.low < 6 / 8 < everything.difference_interval.high


def test_a_run_without_an_adapter_has_base_figures_only():
    (line, *_) = metrics.summarise([("a", "a", None)])
    assert (line.base, line.adapter, line.p) == (1.0, None, None)


def test_without_references_there_is_nothing_to_measure():
    assert metrics.summarise([(None, "x", "y")]) == []
