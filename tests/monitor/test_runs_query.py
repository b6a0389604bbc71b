"""The filter language and the order of the table of runs."""

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuiwb.errors import BadInput
from tuiwb.monitor.run_query import parse, select
from tuiwb.monitor.runs import RunSummary

NOW = 1_000_000.0


def run(name: str, **more: Any) -> RunSummary:
    fields: dict[str, Any] = {"kind": "train", "state": "finished", "running": False, **more}
    return RunSummary(name=name, folder=Path(name), created=fields.pop("created", NOW), **fields)


RUNS = [
    run("qwen-a", loss=1.0, tags=("good", "v2"), base="/m/Qwen3", peak_memory=30 << 30,
        started=NOW - 9000, active=7200.0, ended=NOW, created=NOW - 86400 * 4, alerts=2),
    run("b", state="failed", loss=math.nan, note="too HOT [x]", method="dpo"),
    run("c", state="running", running=True, phase="paused", loss=2.0, step=5, total_steps=10),
    run("d", archived=True, loss=0.5, tags=("good",)),
    run("e", kind="compare", dataset="/data/support.jsonl"),
]  # fmt: skip


def names(query: str, order: str = "", **more: Any) -> list[str]:
    return [found.name for found in select(RUNS, query, order, now=NOW, **more)]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["qwen-a", "b", "c", "e"]),
        ("is:archived", ["d"]),
        ("tag:good", ["qwen-a"]),
        ("tag:good is:archived", ["d"]),
        ("tag:any", ["qwen-a"]),
        ("tag~V", ["qwen-a"]),
        ("-tag:good", ["b", "c", "e"]),
        ("state:failed", ["b"]),
        ("-state:failed kind:train", ["qwen-a", "c"]),
        ("is:live", ["c"]),
        ("is:paused", ["c"]),
        ("is:ended kind:compare", ["e"]),
        ("is:alerted", ["qwen-a"]),
        ("method:dpo", ["b"]),
        ("loss<1.5", ["qwen-a"]),
        ("loss>=1", ["qwen-a", "c"]),
        ("loss=nan", ["b"]),
        ("-loss<1.5", ["b", "c", "e"]),
        ("progress>=50%", ["c"]),
        ("memory>20G", ["qwen-a"]),
        ("memory>31GiB", []),
        ("took<=2h took>119m", ["qwen-a"]),
        ("age>3d", ["qwen-a"]),
        ("base~qwen", ["qwen-a"]),
        ("BASE=/m/qwen3", ["qwen-a"]),
        ("qwen", ["qwen-a"]),
        ("hot", ["b"]),
        ('"too hot"', ["b"]),
        ('"color:red"', []),
        ("2b:x", []),
        ("[x]", ["b"]),
        ("support", ["e"]),
        ("v2", ["qwen-a"]),
        ("nothing-like-it", []),
    ],
)
def test_words_find_what_they_say(query: str, found: list[str]) -> None:
    assert names(query) == found


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("state:runing", "did you mean state:running"),
        ("state:stoped", "did you mean state:stopped"),
        ("is:old", "is: takes live, ended"),
        ("loss<much", "loss<1.5, for example"),
        ("memory>20parsec", "memory>20G, for example"),
        ("took<5x", "took<2h, for example"),
        ("los<1", "did you mean 'loss'"),
        ("frobnicate<1", "one of loss"),
        ('tag:"good', "never closed"),
        ("stat:failed", "did you mean state:failed"),
        ("color:red", "no filter color: .there are is, tag, state, kind, method"),
        ("base:qwen", "write base~qwen for a part of it, base=qwen for all"),
        ("loss:1.5", "write loss<1.5 or loss>1.5"),
    ],
)
def test_a_word_that_means_nothing_is_told(query: str, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        parse(query)


def test_runs_are_ordered_by_a_column_and_what_is_not_known_comes_last_either_way() -> None:
    assert names("", "loss") == ["qwen-a", "c", "b", "e"]
    assert names("", "-loss") == ["c", "qwen-a", "b", "e"]
    assert names("", "name", archived=True) == ["b", "c", "d", "e", "qwen-a"]
    assert names("", "-age")[0] == "qwen-a"
    assert names("", "created")[0] == "qwen-a"
    assert names("", "method") == ["b", "qwen-a", "c", "e"]
    with pytest.raises(BadInput, match=r"did you mean 'loss'\? There are loss, eval_loss"):
        names("", "-los")
    with pytest.raises(BadInput, match="can't be sorted by 'bogus': one of loss, eval_loss"):
        names("", "bogus")


def test_a_stopped_run_is_found_by_the_word_that_is_shown_and_by_the_logs_own() -> None:
    runs = [run("s", state="cancelled"), run("f")]
    for query in ("state:stopped", "state:cancelled", "state=stopped", "state~stop"):
        assert [found.name for found in select(runs, query, "", now=NOW)] == ["s"]
    assert [found.name for found in select(runs, "", "-state", now=NOW)] == ["s", "f"]


@given(st.text(alphabet='abst:=<>~-"1.5GhQ [x]\x1b', max_size=24))
def test_any_text_is_a_filter_or_a_sentence(text: str) -> None:
    try:
        query = parse(text)
    except BadInput:
        return
    for one in RUNS:
        assert query.matches(one, NOW) in (True, False)
