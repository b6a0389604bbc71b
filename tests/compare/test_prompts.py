"""Held-out prompts from every shape of row, the record of completions, the report."""

import json
from pathlib import Path

import msgspec
import pytest

from tests.compare.builders import chat, write_rows
from tuiwb.compare.completions import (
    COMPLETIONS,
    Completion,
    CompletionReader,
    read_completions,
    summarise,
)
from tuiwb.compare.look import look
from tuiwb.compare.prompts import held_out, prompt_of
from tuiwb.compare.report.markdown import markdown
from tuiwb.compare.report.page import page_of
from tuiwb.data.rows import Message, Row
from tuiwb.errors import BadInput
from tuiwb.jobs.lines import append_lines

USER = {"role": "user", "content": "hi"}
ANSWER = {"role": "assistant", "content": "hello"}
PREFERENCE = {"prompt": [USER], "chosen": [ANSWER], "rejected": [{**ANSWER, "content": "no"}]}


def one(tmp_path: Path, row: dict, **more):
    return held_out(write_rows(tmp_path / "d.jsonl", [row]), limit=5, **more).prompts[0]


@pytest.mark.parametrize(
    ("row", "messages", "reference"),
    [
        (chat("hi", "hello"), [USER], "hello"),
        ({"messages": [USER, ANSWER, USER, ANSWER]}, [USER, ANSWER, USER], "hello"),
        ({"messages": [USER]}, [USER], None),
        (PREFERENCE, [USER], "hello"),
        ({"prompt": [USER], "completion": [ANSWER], "label": True}, [USER], "hello"),
        ({"prompt": [USER], "completion": [ANSWER], "label": False}, [USER], None),
        ({"instruction": "hi", "output": "hello"}, [USER], "hello"),
    ],
)
def test_the_last_answer_of_a_row_is_the_reference(tmp_path, row, messages, reference):
    prompt = one(tmp_path, row)
    assert prompt.messages == messages
    assert prompt.reference == reference


def test_plain_prompts_stay_raw_as_training_shows_them(tmp_path):
    prompt = one(tmp_path, {"prompt": "2+2=", "completion": "4"})
    assert (prompt.raw, prompt.messages, prompt.reference) == ("2+2=", [], "4")
    asked = one(tmp_path, {"prompt": "2+2=", "completion": "4"}, system="Be brief.")
    assert asked.raw is None
    assert asked.messages[0] == {"role": "system", "content": "Be brief."}


def test_a_system_turn_of_the_row_wins_over_the_given_one(tmp_path):
    own = {"role": "system", "content": "mine"}
    prompt = one(tmp_path, {"messages": [own, USER, ANSWER]}, system="other")
    assert prompt.messages == [own, USER]


def test_a_longer_file_gives_the_same_sample_for_the_same_seed(tmp_path):
    path = write_rows(tmp_path / "d.jsonl", [chat(f"q{i}", "a") for i in range(200)])
    first = [p.index for p in held_out(path, limit=20, seed=1).prompts]
    assert first == sorted(first)
    assert first == [p.index for p in held_out(path, limit=20, seed=1).prompts]
    assert first != [p.index for p in held_out(path, limit=20, seed=2).prompts]
    assert max(first) > 50


def test_rows_without_a_prompt_are_passed_over_and_counted(tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text(json.dumps(chat("hi", "hello")) + '\n{"messages": [\n')
    found = held_out(path, limit=50)
    assert (len(found.prompts), found.passed_over) == (1, 1)
    assert f"{path}:2" in found.why


def test_a_file_without_any_prompt_is_bad_input(tmp_path):
    path = write_rows(tmp_path / "d.jsonl", [{"text": "just words"}])
    with pytest.raises(BadInput, match="has a prompt to answer"):
        held_out(path, limit=5)


def test_lone_surrogates_become_something_a_tokenizer_takes(tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text('{"messages":[{"role":"user","content":"a\\ud800b"}]}\n')
    try:
        prompt = held_out(path, limit=5).prompts[0]
    except BadInput:
        return
    prompt.messages[0]["content"].encode("utf-8")


def test_lone_surrogates_anywhere_in_a_row_can_be_written_down():
    call = {"id": "1", "function": {"name": "f", "arguments": {"q": "a\ud800b"}}}
    turns = [
        Message("user", "hi"),
        Message("assistant", "", tool_calls=[call]),
        Message("user", "so?"),
    ]
    prompt = prompt_of(
        Row(
            file="d.jsonl",
            index=0,
            line=1,
            format="chat",
            shape="chat",
            messages=turns,
            tools=[{"name": "f", "description": "x\udfff", "parameters": {"\ud800": ["\ud801"]}}],
            tags={"source": "y\ud800", "key\ud800": 1},
        )
    )
    written = msgspec.json.decode(msgspec.json.encode(prompt))
    assert written["tags"] == {"source": "y\ufffd", "key\ufffd": 1}
    assert written["tools"][0]["parameters"] == {"\ufffd": ["\ufffd"]}


def completion(n: int, **more) -> Completion:
    return Completion(id=f"{n}", index=n, line=n + 1, prompt=[USER], base="x", adapter="y", **more)


def test_a_reader_waits_for_the_rest_of_a_torn_line(tmp_path):
    reader = CompletionReader(tmp_path)
    assert reader.read() == []
    append_lines(tmp_path / COMPLETIONS, [completion(0)])
    whole = (tmp_path / COMPLETIONS).read_bytes()
    (tmp_path / COMPLETIONS).write_bytes(whole + whole[:30])
    assert [c.id for c in reader.read()] == ["0"]
    assert reader.read() == []
    append_lines(tmp_path / COMPLETIONS, [completion(1)])
    assert [c.id for c in reader.read()] == ["1"]
    assert [c.id for c in read_completions(tmp_path)] == ["0", "1"]


def test_an_answer_can_not_break_out_of_its_fence_in_the_report(tmp_path):
    nasty = "```\n# not a heading\n````\n<script>\x1b[2J"
    rows = [completion(0, reference=nasty)]
    spec = {"run": None, "base": "/m/base", "prompts": "/d/p.jsonl", "max_new_tokens": 9}
    report = markdown(page_of(spec, summarise(rows, 1), rows))
    lines = report.split("\n")
    start = lines.index("`````text")
    assert lines[start + 1 : start + 5] == ["```", "# not a heading", "````", "<script>␛[2J"]
    assert lines[start + 5] == "`````"


def test_verdicts_on_earlier_answers_are_not_shown(project, answered):
    from tuiwb import jobs
    from tuiwb.compare.judge.plan import all_questions
    from tuiwb.compare.judge.protocol import (
        VERDICTS,
        FailureRecord,
        Usage,
        Verdict,
        VerdictRecord,
    )

    run = answered.parent
    spec = {
        "model": "m",
        "base_url": "u",
        "seed": 0,
        "rubric": {"name": "r", "role": "a", "criteria": "b", "tie": "c"},
    }
    print_ = {COMPLETIONS: jobs.fingerprint(answered / COMPLETIONS)}
    jobs.create(run / "judge", "judge", spec, name="j", fingerprints=print_)
    said = Verdict(reasoning="r", attempted_manipulation="none", winner="1", strength="clear")
    records: list[VerdictRecord | FailureRecord] = [
        VerdictRecord(
            key=q.key,
            pair=q.pair,
            first=q.first,
            second=q.second,
            verdict=said,
            raw="",
            model="m",
            mode="schema",
            usage=Usage(),
        )
        for q in all_questions(spec, read_completions(answered))
    ]
    append_lines(run / "judge" / VERDICTS, records)
    seen = look(project, run)
    assert len(seen.verdicts) == 6
    assert all(pair.flip for pair in seen.verdicts.values())
    text = (answered / COMPLETIONS).read_text().replace("base words 0", "other words")
    (answered / COMPLETIONS).write_text(text)
    assert "id00" not in look(project, run).verdicts
    assert len(look(project, run).verdicts) == 5
