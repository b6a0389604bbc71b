"""Cleaning: fixes by name, placeholders that stay consistent, copies of which the best is kept."""

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuiwb.data.checks.duplicates import Duplicates
from tuiwb.data.clean import DEFAULT, Cleaning, clean
from tuiwb.data.fixes import FIXES
from tuiwb.data.formats import to_row
from tuiwb.data.manifest import DATA, DROPPED
from tuiwb.data.marks import Marks
from tuiwb.data.read import open_dataset
from tuiwb.data.records import encode_line, record_of
from tuiwb.data.redact import redact
from tuiwb.data.repeats import Dropped, Worth, exact_to_drop, near_to_drop
from tuiwb.data.rows import Row
from tuiwb.data.versions import Outcome
from tuiwb.errors import BadInput

WORDS = [f"word{n}" for n in range(400)]


def write(path: Path, *records: Any) -> Path:
    path.write_bytes(b"".join(encode_line(record) for record in records))
    return path


def chat(*turns: str, **columns: Any) -> dict[str, Any]:
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(turns)]
    return {"messages": messages, **columns}


def row_of(record: dict[str, Any]) -> Row:
    row = to_row(record, "f", 0, 1)
    assert row.shape != "broken", row.problem
    return row


def result(outcome: Outcome) -> list[Row]:
    return list(open_dataset(f"{outcome.folder}/{DATA}"))


def dropped(outcome: Outcome) -> list[dict[str, Any]]:
    lines = Path(f"{outcome.folder}/{DROPPED}").read_text().splitlines()
    return [json.loads(line) for line in lines]


def counts(outcome: Outcome, op: str) -> dict[str, Any]:
    return next(o.counts for o in outcome.operations if o.op == op)


# Fixes


@pytest.mark.parametrize(
    ("fix", "before", "after"),
    [
        ("invisible", "\ufeffa\u200bb\u2060c\x00d\x1be", "abcde"),
        ("invisible", "\x1b[31mred\x1b[0m \x1b]0;title\x07end", "red end"),
        ("invisible", "\tkept\nkept \u200d\u200c\u200e é", "\tkept\nkept \u200d\u200c\u200e é"),
        ("line_ends", "a\r\nb\rc\x85d\ne", "a\nb\nc\nd\ne"),
        ("trailing_space", "a  \nb \t\n\u00a0", "a  \nb"),
        ("surrogates", "a\ud800b", "a\ufffdb"),
    ],
)
def test_a_text_fix_mends_every_text_that_is_trained_on(fix: str, before: str, after: str) -> None:
    for record in (chat(before, before), {"text": before}, {"chosen": before, "rejected": "x"}):
        mended = FIXES[fix](row_of(record))
        texts = [text for _field, _role, text in mended.fields() if text != "x"]
        assert set(texts) == {after}


def test_a_prompt_string_keeps_the_space_that_parts_it_from_its_completion() -> None:
    row = FIXES["trailing_space"](row_of({"prompt": "Q: 1+1 A: ", "completion": "2 \n"}))
    assert (row.prompt, row.completion) == ("Q: 1+1 A: ", "2")


def test_turns_of_one_role_are_merged_but_not_tool_calls() -> None:
    call = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f"}}]}
    turns = [
        {"role": "user", "content": "a"}, {"role": "user", "content": "b"}, call, call,
        {"role": "tool", "content": "1"}, {"role": "tool", "content": "2"},
        {"role": "assistant", "content": " "}, {"role": "assistant", "content": "c"},
    ]  # fmt: skip
    row = FIXES["merge_turns"](row_of({"messages": turns}))
    assert row.messages is not None
    assert [(m.role, m.content) for m in row.messages] == [
        ("user", "a\n\nb"), ("assistant", ""), ("assistant", ""), ("tool", "1"), ("tool", "2"),
        ("assistant", "c"),
    ]  # fmt: skip


def test_an_empty_system_turn_and_a_question_without_answer_go() -> None:
    turns = [{"role": "system", "content": " "}, *chat("a", "b", "c")["messages"]]
    row = FIXES["trailing_user"](FIXES["empty_system"](row_of({"messages": turns})))
    assert [m.content for m in row.messages or []] == ["a", "b"]


def test_a_fix_that_would_leave_nothing_leaves_the_row() -> None:
    for name, record in (
        ("empty_system", {"messages": [{"role": "system", "content": ""}]}),
        ("trailing_user", chat("only a question")),
    ):
        row = row_of(record)
        assert FIXES[name](row) is row


ANY = st.text(st.sampled_from("a \n\r\t\x00\x1b[m\ufeff\u200b\ud800é"), max_size=6)
TURNS = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant", "tool"]), "content": ANY}
    ),
    min_size=1,
    max_size=5,
)
RECORD = st.one_of(
    st.fixed_dictionaries({"messages": TURNS}),
    st.fixed_dictionaries({"text": ANY}),
    st.fixed_dictionaries({"prompt": ANY | TURNS, "completion": ANY | TURNS}),
    st.fixed_dictionaries({"prompt": TURNS, "chosen": TURNS, "rejected": TURNS}),
    st.fixed_dictionaries({"prompt": TURNS, "completion": TURNS, "label": st.booleans()}),
)


@settings(max_examples=150, deadline=None)
@given(RECORD)
def test_every_fix_leaves_a_row_that_reads_and_needs_it_no_more(record: dict[str, Any]) -> None:
    row = row_of(record)
    for fix in FIXES.values():
        row = fix(row)
        assert to_row(record_of(row), "f", 0, 1).shape == row.shape
        assert fix(row) == row


# Redaction


def test_the_same_value_has_the_same_placeholder_in_the_whole_conversation() -> None:
    record = chat(
        "Write to ann@post.test or bo@post.test, call +44 20 7946 0958.",
        "I wrote to bo@post.test and ANN@post.test.",
    )
    call = {"name": "send", "arguments": {"to": ["ann@post.test"], "n": 1, "phone": 2079460958}}
    record["messages"][1]["tool_calls"] = [{"function": call}]
    row, spans = redact(row_of(record), ["email", "phone"])
    assert row.messages is not None
    first, second = row.messages
    assert first.content == "Write to [EMAIL_1] or [EMAIL_2], call [PHONE_1]."
    assert second.content == "I wrote to [EMAIL_2] and [EMAIL_1]."
    assert second.tool_calls is not None
    arguments = second.tool_calls[0]["function"]["arguments"]
    assert arguments["to"] == ["[EMAIL_1]"]
    assert arguments["n"] == 1
    assert spans["email"] == 5
    assert "2079460958" not in json.dumps(arguments)


def test_what_words_give_away_once_is_replaced_where_they_do_not() -> None:
    row, _ = redact(row_of(chat("My name is Jana Wolkenstein.", "So Jana Wolkenstein it is!")))
    assert [m.content for m in row.messages or []] == [
        "My name is [NAME_1].", "So [NAME_1] it is!"
    ]  # fmt: skip


def test_json_answers_stay_json() -> None:
    answer = '{"card": 4556737586899855, "mail": "ann@post.test", "n": 3}'
    row, _ = redact(row_of(chat("card?", answer)))
    assert row.messages is not None
    assert json.loads(row.messages[1].content) == {
        "card": "[CARD_1]", "mail": "[EMAIL_1]", "n": 3
    }  # fmt: skip


def test_placeholders_that_are_there_already_are_not_taken_again() -> None:
    row, _ = redact(row_of({"text": "[EMAIL_1] and ann@post.test"}))
    assert row.text == "[EMAIL_1] and [EMAIL_2]"
    assert redact(row) == (row, {})


def test_other_columns_are_redacted_but_not_where_a_row_comes_from() -> None:
    origin = {"kind": "synthetic", "model": "m", "by": "ann@post.test"}
    row, _ = redact(row_of({"text": "x", "from": "ann@post.test", "provenance": origin}))
    assert row.tags == {"from": "[EMAIL_1]", "provenance": origin}


def test_only_the_kinds_that_are_asked_for_are_replaced() -> None:
    row, spans = redact(row_of({"text": "ann@post.test, +44 20 7946 0958"}), ["phone"])
    assert (row.text, spans) == ("ann@post.test, [PHONE_1]", {"phone": 1})


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["ann@post.test", "x\ud800", "{", '"', "[EMAIL_1]", "\x1b", "é"])))
def test_redaction_of_hostile_text_leaves_a_row_that_reads(parts: list[str]) -> None:
    text = " ".join(parts)
    row, _ = redact(row_of(chat(text, text, column=[text])))
    assert to_row(record_of(row), "f", 0, 1).shape == "chat"
    assert "ann@post.test" not in json.dumps(record_of(row))


# Copies


def test_of_exact_copies_the_one_without_findings_then_the_longer_then_the_first_stays() -> None:
    worth = {
        0: Worth(False, 1, 9), 1: Worth(False, 0, 5), 2: Worth(False, 0, 7), 3: Worth(False, 0, 7),
        9: Worth(False, 0, 1), 8: Worth(True, 3, 0),
    }  # fmt: skip
    assert exact_to_drop({1: 0, 2: 0, 3: 0}, worth) == {
        row: Dropped("exact_duplicate", 2, 1.0) for row in (0, 1, 3)
    }
    assert exact_to_drop({9: 8}, worth) == {9: Dropped("exact_duplicate", 8, 1.0)}
    assert exact_to_drop({8: 9}, worth) == {9: Dropped("exact_duplicate", 8, 1.0)}


def test_a_chain_is_never_dropped_whole() -> None:
    worth = {n: Worth(False, 0, 10 - n) for n in range(5)}
    chain = [(n + 1, n, 0.8) for n in range(4)]
    assert near_to_drop(chain, worth) == {
        1: Dropped("near_duplicate", 0, 0.8), 3: Dropped("near_duplicate", 2, 0.8)
    }  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12), st.floats(0.75, 1))),
       st.sets(st.integers(0, 12)), st.randoms())  # fmt: skip
def test_each_dropped_row_is_near_a_kept_one_and_no_two_kept_are_near(
    pairs: list[tuple[int, int, float]], keep: set[int], chance: random.Random
) -> None:
    worth = {n: Worth(n in keep, chance.randrange(2), chance.randrange(3)) for n in range(13)}
    drop = near_to_drop(pairs, worth)
    near = {frozenset(pair[:2]) for pair in pairs}
    assert not drop.keys() & keep
    for row, why in drop.items():
        assert why.of not in drop
        assert frozenset((row, why.of)) in near
    for a, b, _score in pairs:
        assert a == b or a in drop or b in drop or {a, b} <= keep


def edited(words: list[str], chance: random.Random, share: float) -> list[str]:
    return [chance.choice(WORDS) if chance.random() < share else word for word in words]


def near_chats(path: Path, families: int = 40) -> Path:
    """Families of one text and edits of it, some of which chain, in random order."""
    chance = random.Random(5)
    rows = []
    for _ in range(families):
        words = chance.choices(WORDS, k=60)
        for _copy in range(chance.randrange(1, 6)):
            rows.append(chat(" ".join(words[:30]), " ".join(words[30:])))
            words = edited(words, chance, 0.05)
    chance.shuffle(rows)
    return write(path, *rows, rows[0], rows[1])


def test_after_cleaning_the_duplicate_check_finds_nothing(tmp_path: Path) -> None:
    path = near_chats(tmp_path / "d.jsonl")
    outcome = clean(path, Cleaning(drop_near=True))
    again = Duplicates()
    assert [*again.add(result(outcome)), *again.end()] == []
    found = counts(outcome, "drop_near_duplicates")
    assert found["dropped"]["near_duplicate"] > 40
    assert 0 < found["dropped"]["exact_duplicate"] <= 4
    everything = Duplicates()
    everything.add(list(open_dataset(path)))
    list(everything.end())
    pairs = {frozenset(edge[:2]) for edge in everything.edges()}
    gone = {entry["row"]: entry["of"] for entry in dropped(outcome)}
    assert not set(gone) & set(gone.values())
    # A copy stands for the first of its kind.
    first: dict[str, int] = {}
    kind = [first.setdefault(str(row.messages), row.index) for row in open_dataset(path)]
    for row, of in gone.items():
        assert frozenset((kind[row], kind[of])) in pairs or kind[row] == kind[of]


def test_of_a_crowd_of_near_copies_no_two_are_left(tmp_path: Path) -> None:
    """A crowd's pairs are not all proven in one pass of the check."""
    chance = random.Random(11)
    words = chance.choices(WORDS, k=80)
    rows = [chat(" ".join(edited(words, chance, 0.1)), "the same answer") for _ in range(150)]
    outcome = clean(write(tmp_path / "d.jsonl", *rows), Cleaning(drop_near=True))
    again = Duplicates()
    left = result(outcome)
    assert [*again.add(left), *again.end()] == []
    assert 1 < len(left) < 75


def test_exact_only_leaves_near_ones_alone(tmp_path: Path) -> None:
    path = near_chats(tmp_path / "d.jsonl")
    texts = {tuple(m.content for m in row.messages or ()) for row in open_dataset(path)}
    outcome = clean(path, Cleaning(drop_exact=True))
    assert len(result(outcome)) == len(texts)
    assert {entry["reason"] for entry in dropped(outcome)} == {"exact_duplicate"}


def test_the_best_of_near_copies_stays_wherever_it_stands(tmp_path: Path) -> None:
    words = " ".join(WORDS[:60])
    path = write(
        tmp_path / "d.jsonl",
        chat(words, "short answer"),
        chat(words, "short answer that goes on"),
        chat(words + " ann@post.test", "short answer that goes on and on for long"),
    )
    outcome = clean(path, Cleaning(drop_near=True))
    assert [row.messages[1].content for row in result(outcome) if row.messages] == [
        "short answer that goes on"
    ]
    assert [(e["row"], e["of"]) for e in dropped(outcome)] == [(0, 1), (2, 1)]


def test_thumbs_of_two_labels_are_not_copies(tmp_path: Path) -> None:
    answer = {"prompt": " ".join(WORDS[:40]), "completion": "yes"}
    near = {**answer, "completion": "yes indeed"}
    path = write(
        tmp_path / "d.jsonl",
        {**answer, "label": True}, {**near, "label": False}, {**answer, "label": True},
    )  # fmt: skip
    assert len(result(clean(path, Cleaning(drop_near=True)))) == 2


def test_code_of_another_indentation_is_no_exact_copy(tmp_path: Path) -> None:
    code, flat = "if x:\n    a()\nb()", "if x:\n    a()\n    b()"
    rows = [chat("write code", text) for text in (code, flat)]
    rows += [chat("spell us", text) for text in ("US", "us", "US")]
    path = write(tmp_path / "d.jsonl", *rows)
    exact = clean(path, Cleaning(drop_exact=True))
    assert [(e["row"], e["of"]) for e in dropped(exact)] == [(4, 2)]
    near = clean(path, Cleaning(drop_near=True))
    assert [(e["row"], e["reason"], e["of"]) for e in dropped(near)] == [
        (0, "near_duplicate", 1), (3, "near_duplicate", 2), (4, "exact_duplicate", 2)
    ]  # fmt: skip
    assert dropped(near)[0]["why"] == "says nearly what row 1 says (100%)"


def test_rows_made_to_share_a_digest_are_both_kept(tmp_path: Path) -> None:
    word = "a"
    while len(word) < 4096:
        word += word.translate(str.maketrans("ab", "ba"))
    other = word.translate(str.maketrans("ab", "ba"))
    path = write(tmp_path / "d.jsonl", chat(word, "x"), chat(other, "x"), chat("a", "b"))
    assert len(result(clean(path, Cleaning(drop_near=True)))) == 3


def test_rows_marked_keep_are_never_dropped(tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", *[chat("same", "same")] * 4, chat("", ""))
    dataset = open_dataset(path)
    Marks(path, dataset).mark([dataset.row(2), dataset.row(4)], "keep")
    cleaning = Cleaning(apply_marks=True, drop_exact=True, drop_checks=["empty"])
    outcome = clean(path, cleaning)
    assert [(e["row"], e["of"]) for e in dropped(outcome)] == [(0, 2), (1, 2), (3, 2)]
    assert len(result(outcome)) == 2


def test_a_rejected_row_that_is_marked_keep_stays_in_whatever_order_it_was_said(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "d.jsonl", *({"text": f"row {n}"} for n in range(4)))
    dataset = open_dataset(path)
    marks = Marks(path, dataset)
    for row, words in ((0, ("keep", "reject")), (1, ("reject", "keep")), (2, ("reject", "hard"))):
        for word in words:
            marks.mark(dataset.row(row), word)
    outcome = clean(path, Cleaning(apply_marks=True))
    assert [row.text for row in result(outcome)] == ["row 0", "row 1", "row 3"]
    assert [(e["row"], e["reason"]) for e in dropped(outcome)] == [(2, "reject")]


# The whole of it


def test_every_row_is_written_or_listed_and_the_source_is_untouched(
    tmp_path: Path, sample_data: Path
) -> None:
    path = tmp_path / "raw.jsonl"
    path.write_bytes((sample_data / "data" / "support_raw.jsonl").read_bytes())
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    cleaning = Cleaning(
        fix=list(FIXES), redact=[], drop_checks=["role_order", "tool_calls"], drop_near=True
    )
    outcome = clean(path, cleaning)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before
    total = len(open_dataset(path))
    gone = [entry["row"] for entry in dropped(outcome)]
    assert len(gone) == len(set(gone)) == total - len(result(outcome))
    reads = counts(outcome, "read")
    assert reads["in"] == total
    assert reads["dropped"]["broken"] == sum(r.shape == "broken" for r in open_dataset(path))
    for before_op, after_op in zip(outcome.operations, outcome.operations[1:], strict=False):
        assert after_op.counts["in"] == before_op.counts["out"]
    assert outcome.operations[-1].counts["out"] == len(result(outcome))
    for entry in dropped(outcome):
        row = open_dataset(path).row(entry["row"])
        assert (entry["file"], entry["line"]) == (row.file, row.line)


def test_a_dry_run_counts_the_same_and_writes_nothing(tmp_path: Path) -> None:
    path = near_chats(tmp_path / "d.jsonl")
    planned = clean(path, DEFAULT, dry_run=True)
    assert planned.folder is None
    assert [p.name for p in tmp_path.iterdir()] == ["d.jsonl"]
    assert planned.operations == clean(path, DEFAULT).operations


def test_the_same_cleaning_makes_the_same_bytes(tmp_path: Path) -> None:
    path = near_chats(tmp_path / "d.jsonl")
    first, second = clean(path), clean(path)
    assert first.folder != second.folder
    assert first.version is not None
    assert second.version is not None
    assert first.version.outputs == second.version.outputs


def test_marks_drop_edit_repeat_and_mend_broken_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", *({"text": f"row {n}"} for n in range(5)), {"no": "row"})
    dataset = open_dataset(path)
    marks = Marks(path, dataset)
    marks.mark(dataset.row(0), "drop", note="off topic")
    marks.mark(dataset.row(1), "hard")
    marks.edit(dataset.row(2), {"text": "edited"})
    marks.mark(dataset.row(3), "reject")
    marks.edit(dataset.row(5), {"text": "mended"})
    outcome = clean(path, Cleaning(apply_marks=True, repeat={"hard": 2}))
    assert [row.text for row in result(outcome)] == ["row 1", "row 1", "edited", "row 4", "mended"]
    assert [(e["row"], e["reason"]) for e in dropped(outcome)] == [(0, "drop"), (3, "reject")]
    assert dropped(outcome)[0]["why"] == "the row was marked drop: off topic"
    assert counts(outcome, "apply_marks")["changed"] == 2
    assert counts(outcome, "repeat") == {"in": 4, "out": 5, "dropped": {}, "changed": 0}


def test_rows_go_by_check_and_severity(tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", chat("a", "b"), chat("", "b"), chat("ann@post.test", "b"))
    by_check = clean(path, Cleaning(drop_checks=["pii"]))
    assert [(e["row"], e["reason"]) for e in dropped(by_check)] == [(2, "pii")]
    any_check = clean(path, Cleaning(drop_severity="warning"))
    assert {e["row"] for e in dropped(any_check)} == {1, 2}


@pytest.mark.parametrize(
    ("cleaning", "sentence"),
    [
        (Cleaning(), "nothing to do"),
        (Cleaning(fix=["spelling"]), "'spelling' is no fix"),
        (Cleaning(redact=["shoe size"]), "no kind of personal data"),
        (Cleaning(drop_checks=["typos"]), "can't be dropped by 'typos'"),
        (Cleaning(drop_severity="loud"), "no severity"),
        (Cleaning(repeat={"drop": 2}), "can't be repeated"),
        (Cleaning(repeat={"hard": 0}), "1 to 100 times"),
        (Cleaning(drop_severity="warning"), "no row of 1 is left"),
    ],
)
def test_what_can_not_be_done_is_one_sentence_and_writes_nothing(
    tmp_path: Path, cleaning: Cleaning, sentence: str
) -> None:
    path = write(tmp_path / "d.jsonl", chat("", ""))
    with pytest.raises(BadInput, match=sentence):
        clean(path, cleaning)
    assert not list(tmp_path.glob("versions/*"))


def test_rows_go_by_checks_of_all_rows_before_copies_are_compared(tmp_path: Path) -> None:
    words = " ".join(WORDS[:40])
    answers = [chat(f"as JSON, {n}: {WORDS[n] * 9}", json.dumps({"n": n})) for n in range(60)]
    path = write(
        tmp_path / "d.jsonl",
        *answers, chat(words, "no JSON, and without findings"), chat(words, '{"n": 1}'), answers[0],
    )  # fmt: skip
    outcome = clean(path, Cleaning(drop_checks=["format"], drop_near=True))
    assert [(e["row"], e["reason"]) for e in dropped(outcome)] == [
        (60, "format"), (62, "exact_duplicate")
    ]  # fmt: skip
    assert counts(outcome, "drop_near_duplicates")["in"] == 62


def test_rows_that_ask_what_is_held_out_go(tmp_path: Path) -> None:
    asked = " ".join(WORDS[:40])
    held_out = write(tmp_path / "held.jsonl", chat(asked, "x"))
    path = write(
        tmp_path / "d.jsonl", chat("else", "y"), chat(asked, "z"), chat(asked + " so", "w")
    )
    cleaning = Cleaning(drop_checks=["leakage"], against=str(held_out))
    outcome = clean(path, cleaning)
    assert [(e["row"], e["reason"]) for e in dropped(outcome)] == [(1, "leakage"), (2, "leakage")]
    with pytest.raises(BadInput, match="needs a held-out set"):
        clean(path, Cleaning(drop_checks=["leakage"]))
