"""Exact and near duplicates and leaked prompts are found, the same ones every time."""

import json
import os
import random
import subprocess
import sys
import textwrap
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.corpora.chats import Chats, Truth, leaks
from tuiwb.data.checks import kernels_numpy, similarity
from tuiwb.data.checks.differences import as_line, differences
from tuiwb.data.checks.duplicates import Duplicates, duplicate_clusters
from tuiwb.data.checks.finding import Finding
from tuiwb.data.checks.leakage import Leakage
from tuiwb.data.checks.similarity import NearPairs, clusters, load_kernels
from tuiwb.data.checks.spill import Spill
from tuiwb.data.checks.words import asked_texts, whole_texts, words_of
from tuiwb.data.rows import Message, Row

BATCH = 2_000
TEXT = (
    "the parcel with my blue tent came late and one of its poles was bent so i would like "
    "to know whether you can send another or give the money back before we leave on friday"
)
WORDS = TEXT.split()
ENGINES = pytest.mark.parametrize("fast", [True, False], ids=["compiled", "numpy"])


def chat(index: int, user: str, assistant: str = "", system: str | None = None) -> Row:
    turns = [Message("user", user)]
    if system is not None:
        turns.insert(0, Message("system", system))
    if assistant:
        turns.append(Message("assistant", assistant))
    return row(index, shape="chat", messages=turns)


def row(index: int, **parts: Any) -> Row:
    return Row(file="d.jsonl", index=index, line=index + 1, format="messages", **parts)


def run(
    rows: Iterable[Row], *, fast: bool = True, batch: int = BATCH, opened: bool = False
) -> tuple[list[Finding], Duplicates]:
    rows = list(rows)
    duplicates = Duplicates(rows.__getitem__ if opened else None, fast=fast)
    found: list[Finding] = []
    for first in range(0, len(rows), batch):
        found.extend(duplicates.add(rows[first : first + batch]))
    found.extend(duplicates.end())
    return found, duplicates


def pairs(found: list[Finding]) -> list[tuple[int, str, int | None]]:
    return [(finding.row, finding.check, finding.of) for finding in found]


def leaked(
    held: list[Row], train: list[Row], *, fast: bool = True, batch: int = BATCH
) -> list[Finding]:
    check = Leakage(held, "held.jsonl", fast=fast)
    found = [f for at in range(0, len(train), batch) for f in check.add(train[at : at + batch])]
    return [*found, *check.end()]


@pytest.fixture(scope="module")
def corpus() -> tuple[list[Row], list[Truth]]:
    rows: list[Row] = []
    truths: list[Truth] = []
    for block, truth in Chats().blocks(4_000):
        rows.extend(block)
        truths.extend(truth)
    return rows, truths


def hostile_texts(seed: int) -> Iterator[str]:
    chooser = random.Random(seed)
    alphabet = (
        "aB-- _9 \n\t.\x00\x1f'é中文ひー々ไทยßİÀ\u0301\u00a0\ud800\udc00\U0001f600한글\u3000\u2028"
    )
    while True:
        yield "".join(chooser.choice(alphabet) for _ in range(chooser.choice([0, 1, 2, 5, 40])))


@pytest.mark.parametrize("seed", range(20))
def test_numba_and_numpy_agree_bit_by_bit_on_hostile_text(seed: int) -> None:
    compiled = pytest.importorskip("tuiwb.data.checks.kernels")
    chooser, texts = random.Random(seed), hostile_texts(seed)
    for _ in range(10):
        rows = [
            row(
                i,
                shape=chooser.choice(["chat", "chat", "broken"]),
                messages=[
                    Message(chooser.choice(["user", "system", "assistant", "tool"]), next(texts))
                    for _ in range(chooser.choice([0, 1, 2, 3]))
                ],
            )
            for i in range(chooser.choice([0, 1, 7]))
        ]
        for packed in (whole_texts(rows), asked_texts(rows)):
            ours, theirs = compiled.tokenise(packed), kernels_numpy.tokenise(packed)
            same(ours, theirs)
            spoken = np.flatnonzero(np.diff(ours.bounds))
            sketch = compiled.sketch(ours, spoken)
            same(sketch, kernels_numpy.sketch(ours, spoken))
            same(compiled.grams(ours, 5), kernels_numpy.grams(ours, 5))
            known = np.unique(compiled.grams(ours, 5)[0])[::2]
            same(compiled.Known(known).find(ours, 5), kernels_numpy.Known(known).find(ours, 5))
            bounds = np.append(0, sketch.ends)
            later, earlier = np.tril_indices(len(spoken), -1)
            arguments = (sketch.sets, bounds, later, earlier)
            same([compiled.shared(*arguments)], [kernels_numpy.shared(*arguments)])


def same(ours: Iterable[Any], theirs: Iterable[Any]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_the_same_is_found_in_any_batches_with_and_without_numba(
    corpus: tuple[list[Row], list[Truth]],
) -> None:
    found, duplicates = run(corpus[0])
    assert len(found) > 300
    for fast, batch in ((True, 2_000), (False, 2_000), (True, 37), (False, 700)):
        again, other = run(corpus[0], fast=fast, batch=batch)
        assert sorted(map(repr, again)) == sorted(map(repr, found))
        assert other.edges() == duplicates.edges()
        assert other.clusters() == duplicates.clusters()


def test_another_process_finds_the_same_without_numba_installed(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import json, sys
        if sys.argv[1] == "without":
            sys.modules["numba"] = None
        from benchmarks.corpora.chats import Chats
        from tuiwb.data.checks.duplicates import Duplicates
        duplicates = Duplicates()
        for rows, _ in Chats().blocks(600):
            duplicates.add(rows)
        list(duplicates.end())
        print(json.dumps([duplicates._kernels.__name__, duplicates.edges()]))
        """
    )
    root = Path(__file__).resolve().parents[2]
    printed = []
    for numba, seed in (("with", "1"), ("without", "2")):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)}
        done = subprocess.run([sys.executable, "-c", script, numba], cwd=tmp_path, check=True,
                              env=environment, capture_output=True, text=True)  # fmt: skip
        printed.append(json.loads(done.stdout))
    assert printed[1][0].endswith("kernels_numpy")
    assert printed[0][1] == printed[1][1]
    assert len(printed[0][1]) > 20


def test_planted_copies_are_found_and_boilerplate_is_not(
    corpus: tuple[list[Row], list[Truth]],
) -> None:
    rows, truths = corpus
    found, _ = run(rows)
    near = [f for f in found if f.check == "near_duplicate"]
    right = {f.row for f in near if f.of is not None and truths[f.row].root == truths[f.of].root}
    planted = [i for i, truth in enumerate(truths) if truth.kind == "near"]
    assert len(right) >= 0.99 * len(near)
    assert len(right & set(planted)) >= 0.97 * len(planted)
    exact = [f.row for f in found if f.check == "exact_duplicate" or f.kind == "case_or_space"]
    assert exact == [i for i, truth in enumerate(truths) if truth.kind == "exact"]


def test_candidates_miss_few_of_all_pairs_that_are_alike(
    corpus: tuple[list[Row], list[Truth]],
) -> None:
    rows = corpus[0][:1_000]
    kernels = load_kernels()
    words = kernels.tokenise(whole_texts(rows))
    near = NearPairs(kernels)
    near.add(words, np.arange(len(rows)))
    got = near.pairs()
    sets = [set(words_of("\n".join(m.content for m in r.messages or []))) for r in rows]
    alike: dict[tuple[int, int], float] = {}
    for later, words_of_later in enumerate(sets):
        for earlier, others in enumerate(sets[:later]):
            if len(words_of_later) * 3 < len(others) * 4 < len(words_of_later) * 6:
                shared = len(words_of_later & others)
                score = shared / (len(words_of_later) + len(others) - shared)
                if score >= 0.75:
                    alike[later, earlier] = score
    keys = zip(got.later.tolist(), got.earlier.tolist(), strict=True)
    ours = dict(zip(keys, got.score.tolist(), strict=True))
    assert len(alike) > 30
    assert all(ours[pair] == pytest.approx(alike[pair]) for pair in ours)
    assert len(ours) >= 0.97 * len(alike)


@ENGINES
def test_twenty_thousand_identical_rows_are_copies_of_the_first(fast: bool) -> None:
    found, duplicates = run((chat(i, " ".join(WORDS)) for i in range(20_000)), fast=fast)
    assert pairs(found) == [(i, "exact_duplicate", 0) for i in range(1, 20_000)]
    assert duplicates.clusters() == [list(range(20_000))]


@ENGINES
def test_a_crowd_of_nearly_identical_rows_is_flagged_in_full(fast: bool) -> None:
    rows = [chat(i, f"{' '.join(WORDS)} order number {i}") for i in range(3_000)]
    found, duplicates = run(rows, fast=fast)
    assert {f.row for f in found} == set(range(1, 3_000))
    assert duplicates.clusters() == [list(range(3_000))]
    assert len(duplicates.edges()) < 40 * len(rows)


@ENGINES
@pytest.mark.parametrize("rows", [[], [""], ["one"], ["", ""], ["?", "!"]])
def test_few_and_empty_rows_pass(fast: bool, rows: list[str]) -> None:
    found, duplicates = run((chat(i, text) for i, text in enumerate(rows)), fast=fast)
    assert pairs(found) == ([(1, "exact_duplicate", 0)] if rows == ["", ""] else [])
    assert len(duplicates.clusters()) == len(found)


@ENGINES
def test_rows_of_one_word_are_near_only_in_the_same_word(fast: bool) -> None:
    rows = [
        chat(i, text) for i, text in enumerate(["yes", "yes!", "no", "Yes", "yes yes", "no..."])
    ]
    found, _ = run(rows, fast=fast)
    assert sorted(pairs(found)) == [
        (1, "near_duplicate", 0),
        (3, "near_duplicate", 0),
        (5, "near_duplicate", 2),
    ]


def test_few_words_must_be_the_very_same() -> None:
    rows = [chat(0, "where is my blue tent today"), chat(1, "where is my red tent today"),
            chat(2, "today, where is my blue tent?")]  # fmt: skip
    rows += [chat(3, " ".join(WORDS)), chat(4, " ".join([*WORDS[:5], "old", *WORDS[6:]]))]
    found, _ = run(rows)
    assert pairs(found) == [(2, "near_duplicate", 0), (4, "near_duplicate", 3)]


def test_the_words_that_differ_are_named() -> None:
    edited = [*WORDS]
    edited[4:6] = ["green", "sack"]
    edited += ["please"]
    edited.remove("late")
    rows = [chat(0, " ".join(WORDS)), chat(1, " ".join(edited))]
    (finding,) = run(rows, opened=True)[0]
    assert finding.text == "blue tent -> green sack, + please, - late"
    assert finding.sentence.endswith("differs in: blue tent -> green sack, + please, - late")
    assert run(rows)[0][0].text == ""


def test_many_differences_are_cut_short() -> None:
    changes = differences([f"a{i}" for i in range(9)], [f"b{i}" for i in range(9)])
    assert changes == ["a0 a1 a2 a3 a4 a5 a6 a7 a8 -> b0 b1 b2 b3 b4 b5 b6 b7 b8"]
    assert as_line([f"+ {i}" for i in range(8)]) == "+ 0, + 1, + 2, + 3, + 4, + 5, and 2 more"
    assert differences(["a", "b", "a"], ["a", "a", "b"]) == []


def test_system_prompts_tell_rows_apart_but_make_none_alike() -> None:
    system, other = " ".join(WORDS * 3), " ".join(reversed(WORDS))
    rows = [chat(0, "what is it", "a tent", system), chat(1, "how far is it", "ten miles", system),
            chat(2, "what is it", "a tent", other)]  # fmt: skip
    assert pairs(run(rows)[0]) == [(2, "near_duplicate", 0)]


def test_case_and_white_space_alone_make_no_difference() -> None:
    texts = ["Where is it?", " where\u2003 IS\nit? ", "where is it ?", "STRASSE 9", "straße 9"]
    found, _ = run(chat(i, text) for i, text in enumerate(texts))
    same = [(1, "near_duplicate", 0), (4, "near_duplicate", 3)]
    assert (pairs(found)[:2], [f.kind for f in found[:2]]) == (same, ["case_or_space"] * 2)
    assert found[0].sentence == "says what row 0 says, but for letter case or white space"


def test_each_spelling_has_copies_of_its_own_and_only_the_very_same_are_exact() -> None:
    code, flat = "if x:\n    a()\nb()", "if x:\n    a()\n    b()"
    texts = [code, flat, code, flat, code.upper(), flat, "US"]
    found, duplicates = run(
        (chat(i, "write it", text) for i, text in enumerate(texts)), opened=True
    )
    assert [(f.row, f.check, f.of) for f in found] == [
        (1, "near_duplicate", 0), (2, "exact_duplicate", 0), (3, "exact_duplicate", 1),
        (4, "near_duplicate", 0), (5, "exact_duplicate", 1),
    ]  # fmt: skip
    assert duplicates.copies() == [(2, 0), (3, 1), (5, 1)]
    assert duplicates.clusters() == [[0, 1, 2, 3, 4, 5]]


def thue_morse(size: int) -> tuple[str, str]:
    """Two words whose polynomials modulo 2^64 agree whatever the base (Pachocki 2012)."""
    word = "a"
    while len(word) < size:
        word += word.translate(str.maketrans("ab", "ba"))
    return word, word.translate(str.maketrans("ab", "ba"))


@ENGINES
def test_texts_made_to_share_a_digest_are_no_copies_where_rows_can_be_read(fast: bool) -> None:
    one, other = thue_morse(4096)
    rows = [chat(0, one), chat(1, other), chat(2, other), chat(3, one)]
    assert pairs(run(rows, fast=fast, opened=True)[0])[:2] == [
        (2, "exact_duplicate", 1),
        (3, "exact_duplicate", 0),
    ]
    assert "exact_duplicate" not in {f.check for f in run(rows[:2], fast=fast)[0]}


def test_names_of_speakers_tell_rows_apart() -> None:
    rows = [row(i, shape="chat", messages=[Message("user", "so be it", name=name)])
            for i, name in enumerate(("ann", "bo", "ann"))]  # fmt: skip
    found = run(rows)[0]
    assert [p for p in pairs(found) if p[1] == "exact_duplicate"] == [(2, "exact_duplicate", 0)]


def test_turns_in_another_order_or_by_others_are_no_exact_copy() -> None:
    rows = [
        row(0, shape="chat", messages=[Message("user", "a b"), Message("assistant", "c d")]),
        row(1, shape="chat", messages=[Message("assistant", "c d"), Message("user", "a b")]),
        row(2, shape="chat", messages=[Message("user", "c d"), Message("assistant", "a b")]),
        row(3, shape="chat", messages=[Message("user", "a b c"), Message("assistant", "d")]),
        row(4, shape="prompt_completion", prompt="a b", completion="c d"),
    ]
    found, _ = run(rows)
    assert [p for p in pairs(found) if p[1] == "exact_duplicate"] == [(4, "exact_duplicate", 0)]


def test_calls_and_tools_count() -> None:
    def calls(index: int, city: str, tools: list[dict[str, Any]] | None = None) -> Row:
        function = {"name": "weather", "arguments": {"city": city}}
        call = {"id": f"call_{index}", "type": "function", "function": function}
        turns = [Message("user", "how is it"), Message("assistant", "", tool_calls=[call])]
        return row(index, shape="chat", messages=turns, tools=tools)

    found, _ = run([calls(0, "rome"), calls(1, "oslo"), calls(2, "rome"), calls(3, "rome", [{}])])
    assert pairs(found) == [(2, "exact_duplicate", 0), (3, "near_duplicate", 0)]


def test_calls_nested_too_deep_to_print_stop_nothing() -> None:
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    call = {"function": {"name": "f", "arguments": deep}}
    rows = [row(i, shape="chat", messages=[Message("user", f"do it {i}"),
            Message("assistant", "", tool_calls=[call, "odd"])], tools=[deep])
            for i in range(2)]  # fmt: skip
    assert [f.check for f in run(rows)[0]] == []


def test_preference_pairs_are_compared_whole() -> None:
    rows = [
        row(0, shape="preference", prompt="q", chosen="good", rejected="bad"),
        row(1, shape="preference", prompt="q", chosen="bad", rejected="good"),
        row(2, shape="preference", prompt="q", chosen="good", rejected="bad"),
        row(3, shape="preference", prompt="q", chosen="good", rejected="worse"),
    ]
    found, _ = run(rows)
    assert [p for p in pairs(found) if p[1] == "exact_duplicate"] == [(2, "exact_duplicate", 0)]


def test_thumbs_of_one_answer_repeat_only_the_same_thumb() -> None:
    labels = [True, False, True, False]
    rows = [row(i, shape="kto", prompt="q", completion="a", label=x) for i, x in enumerate(labels)]
    found, duplicates = run(rows)
    assert pairs(found) == [(2, "exact_duplicate", 0), (3, "exact_duplicate", 1)]
    assert duplicates.clusters() == [[0, 1, 2, 3]]


def test_characters_without_spaces_are_words() -> None:
    text = "我的蓝色帐篷昨天才送到而且有一根杆子弯了请问你们可以再寄一根新的给我吗谢谢"
    rows = [chat(0, text), chat(1, text.replace("昨天", "今天")), chat(2, "天气很好" * 9)]
    found, _ = run(rows)
    assert pairs(found) == [(1, "near_duplicate", 0)]
    assert list(words_of("中文 ABC-1 ไทย x")) == ["中", "文", "abc-1", "ไท", "ย", "x"]


def test_broken_rows_repeat_nothing() -> None:
    rows = [row(i, shape="broken", text="{", problem="cut") for i in range(3)]
    assert run(rows)[0] == []


def test_a_split_gets_whole_clusters() -> None:
    edited = " ".join([*WORDS[:9], "green", *WORDS[9:]])
    rows = [chat(0, "one two three"), chat(1, " ".join(WORDS)), chat(2, edited),
            chat(3, "ONE two three"), chat(4, "another thing at all")]  # fmt: skip
    assert duplicate_clusters(rows) == [[0, 3], [1, 2]]


def test_clusters_join_through_rows_in_any_order() -> None:
    assert clusters([(9, 4), (4, 7), (1, 2), (7, 3), (8, 9)]) == [[1, 2], [3, 4, 7, 8, 9]]
    assert clusters([]) == []


def test_numbers_past_the_limit_wait_on_disk() -> None:
    parts = [np.arange(n, dtype=np.uint32) for n in (5, 0, 900, 3, 4_000)]
    kept, spilled = Spill(), Spill(in_memory=2_000)
    for part in parts:
        kept.append(part)
        spilled.append(part)
    assert len(spilled) == len(kept) == 4_908
    for spill in (kept, spilled):
        np.testing.assert_array_equal(spill.array(), np.concatenate(parts))
    assert len(Spill().array()) == 0


def test_candidates_are_verified_in_rounds_with_the_same_result(
    corpus: tuple[list[Row], list[Truth]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(corpus[0])[1].edges()
    monkeypatch.setattr(similarity, "PENDING", 10)
    assert run(corpus[0])[1].edges() == whole


@ENGINES
def test_leaks_are_found_verbatim_edited_and_embedded(fast: bool) -> None:
    held = [chat(0, "a b c d e f g"), chat(1, " ".join(WORDS))]
    edited = " ".join([*WORDS[:10], "really", *WORDS[10:], "thanks"])
    around = " ".join(f"other{n}" for n in range(60))
    train = [
        chat(0, "nothing of the kind is asked here at all"),
        chat(1, edited, "no"),
        chat(2, f" {' '.join(WORDS).upper()}\n"),
        chat(3, f"{around} {' '.join(WORDS)} {around}"),
        row(4, shape="text", text=" ".join(WORDS)),
        row(5, shape="prompt_completion", prompt="x", completion=" ".join(WORDS)),
    ]
    found = sorted(leaked(held, train, fast=fast), key=lambda f: f.row)
    assert [(f.row, f.of, f.kind) for f in found] == [
        (1, 1, "near"), (2, 1, "exact"), (3, 1, "near"), (4, 1, "exact"),
    ]  # fmt: skip
    assert {(f.of_file, f.severity) for f in found} == {("d.jsonl", "error")}
    assert [f.score for f in found[1:]] == [1.0, 1.0, 1.0]


@ENGINES
@pytest.mark.parametrize("prompt", ["hi", "hello there", "what is 2+2?", "你好吗", "🙂"])
def test_short_prompts_leak_when_the_whole_is_the_same(fast: bool, prompt: str) -> None:
    train = [chat(0, f"{prompt} "), chat(1, f"well {prompt} then and so on and on"), chat(2, "")]
    found = leaked([chat(0, prompt), chat(1, " ")], train, fast=fast)
    assert [(f.row, f.kind) for f in found] == [(0, "exact")]


def test_boilerplate_that_many_training_rows_or_prompts_share_is_no_leak() -> None:
    opening = "thank you for calling the desk of our shop please say"
    held = [chat(0, f"{opening} where my tent is now today")]
    tails = [" ".join(f"{word}{n}" for word in ("item", "kind", "size", "who", "how"))
             for n in range(12)]  # fmt: skip
    many = [chat(i, f"{opening} {tail}") for i, tail in enumerate(tails)]
    assert leaked(held, many) == []
    assert [f.row for f in leaked(held, many[:3])] == [0, 1, 2]
    assert leaked([*many], [chat(0, f"{opening} what else there is now")]) == []


def test_many_exact_leaks_do_not_hide_an_edited_one() -> None:
    train = [chat(i, TEXT) for i in range(30)] + [chat(30, f"please {TEXT} thanks")]
    found = leaked([chat(0, TEXT)], train)
    assert [(f.row, f.kind) for f in found] == [*((i, "exact") for i in range(30)), (30, "near")]


def test_one_shared_run_of_a_short_prompt_is_no_leak() -> None:
    held = [chat(0, "what is the capital of france")]
    train = [chat(0, "what is the capital of peru"), chat(1, "so what is the capital of france")]
    assert [f.row for f in leaked(held, train)] == [1]


def test_leaks_planted_in_a_corpus_are_found_the_same_in_any_batches() -> None:
    corpus = leaks(6_000, 210)
    found = leaked(corpus.held_out, corpus.train)
    right = [f for f in found if corpus.planted.get(f.row) == f.of]
    assert len(right) >= 0.97 * len(found)
    assert len(right) >= 0.97 * len(corpus.planted)
    for fast, batch in ((False, BATCH), (True, 333)):
        again = leaked(corpus.held_out, corpus.train, fast=fast, batch=batch)
        assert sorted(map(repr, again)) == sorted(map(repr, found))


@pytest.mark.parametrize("held", [[], [row(0, shape="broken", text="{", problem="cut")]])
def test_without_held_out_prompts_nothing_leaks(held: list[Row]) -> None:
    assert leaked(held, [chat(0, "hi"), chat(1, " ".join(WORDS))]) == []
    assert leaked([chat(0, "hi")], []) == []


def test_no_text_is_kept() -> None:
    duplicates = Duplicates(fast=False)
    tracemalloc.start()
    try:
        for i in range(40):
            words = " ".join(f"word{i}x{n}" for n in range(40))
            duplicates.add([chat(i, words + " same" * 10_000)])
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000 < 40 * 5 * 10_000


def test_one_huge_row_passes_among_others() -> None:
    huge = " ".join(f"word{n}" for n in range(200_000))
    rows = [chat(0, huge), chat(1, "x" * 600_000), chat(2, f"{huge} more")]
    for fast in (True, False):
        assert pairs(run(rows, fast=fast)[0]) == [(2, "near_duplicate", 0)]
