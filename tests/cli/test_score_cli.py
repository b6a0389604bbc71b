"""`tuiwb score` as a user calls it: kept answers measured again, other tools' answers measured."""

import json
from pathlib import Path

import pyarrow.parquet
import pytest

from tests.compare.builders import HELD_OUT, make_run, write_rows
from tuiwb.cli import run
from tuiwb.compare.completions import COMPLETIONS, Answer, Completion
from tuiwb.jobs import create
from tuiwb.jobs.lines import append_lines
from tuiwb.project import Project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    root = tmp_path / "project"
    root.mkdir()
    (root / "tuiwb.yaml").write_text("name: test\n")
    monkeypatch.chdir(root)
    return Project(root)


@pytest.fixture
def answered(project: Project) -> Path:
    """A comparison of twelve prompts with three sides; the fine-tune knows every order."""
    folder = make_run(project, "support-v1", "some/base", None) / "compare"
    sides = [{"name": "base"}, {"name": "adapter"}, {"name": "old", "label": "old adapter"}]
    create(folder, "compare", {"run": str(folder.parent), "sides": sides, "limit": 12})
    rows = [
        Completion(
            id=f"id{i}",
            index=i,
            line=i + 1,
            prompt=[{"role": "user", "content": f"order {i} [b]\x1b[31m?"}],
            reference=f'{{"order": "A{i}", "late": {str(i % 2 == 0).lower()}}}',
            tags={"kind": "refund" if i < 4 else "cancel"},
            base="I don't know.",
            adapter=f'{{"order": "A{i}", "late": true}}',
            others={"old": Answer(text=f'{{"order": "A{i}"}}')},
            prompt_tokens=5 + i,
            base_tokens=4,
            adapter_tokens=9,
        )
        for i in range(12)
    ]
    append_lines(folder / COMPLETIONS, rows)
    return folder


def test_kept_answers_are_measured_again_with_fields_and_slices(answered, capsys):
    assert run(["score", "support-v1"]) == 0
    said = capsys.readouterr().out
    assert "support-v1: base against fine-tune, 12 of 12 prompts" in said
    lines = said.split("\n")
    (fields,) = (line for line in lines if line.startswith("all fields right "))
    assert fields.split()[3:6] == ["12", "0/12", "6/12"]
    (late,) = (line for line in lines if line.startswith("late "))
    assert late.split()[1:5] == ["12", "0/12", "(12", "missing)"]
    assert "slices: all fields right, the worst first" in said
    assert any(line.startswith("refund (few) ") for line in lines)
    assert "BLEU" in said
    assert "\x1b" not in said


def test_json_is_one_document_with_every_figure(answered, capsys):
    assert run(["score", "support-v1", "--regex", r'"order": "A\d+"', "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    (found,) = said["comparisons"]
    assert found["sides"] == ["base", "adapter"]
    by_name = {line["name"]: line for line in found["metrics"]}
    assert by_name["all_fields"]["adapter_right"] == 6
    assert by_name[r'/"order": "A\d+"/']["adapter_right"] == 12
    assert {line["name"] for line in found["quantities"]} >= {"ended", "length"}
    assert [field["name"] for field in found["fields"]] == ["order", "late"]
    assert {s["by"] for s in found["slices"]} == {"kind", "prompt length"}


def test_a_schema_is_checked_on_every_answer(answered, project, capsys):
    schema = {"required": ["order", "late"], "properties": {"late": {"type": "boolean"}}}
    Path("s.json").write_text(json.dumps(schema))
    assert run(["score", "support-v1", "--schema", "s.json", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["comparisons"]
    (valid,) = (line for line in found["metrics"] if line["name"] == "schema_valid")
    assert (valid["base_right"], valid["adapter_right"], valid["n"]) == (0, 12, 12)


def test_another_side_can_be_measured_against_and_under_test(answered, capsys):
    arguments = ["score", "support-v1", "--against", "base", "--against", "old", "--json"]
    assert run(arguments) == 0
    base, old = json.loads(capsys.readouterr().out)["comparisons"]
    assert (base["sides"], old["sides"]) == (["base", "adapter"], ["old", "adapter"])
    assert old["labels"] == ["old adapter", "fine-tune"]
    assert run(["score", "support-v1", "--side", "old", "--report"]) == 0
    assert "base against old adapter" in capsys.readouterr().out
    # The report of the two sides in focus is not written over.
    assert sorted(path.name for path in answered.glob("report*")) == [
        "report-base-old.html",
        "report-base-old.md",
    ]


def test_the_report_is_written_beside_the_answers(answered, capsys):
    assert run(["score", "support-v1", "--report", "--by", "kind"]) == 0
    said = capsys.readouterr().out
    assert "wrote runs/support-v1/compare/report.html" in said
    html = (answered / "report.html").read_text("utf-8")
    assert "<svg" in html
    assert "all fields right by kind" in html
    assert "by prompt length" not in html
    assert (answered / "report.md").read_text("utf-8").startswith("# support-v1: base against")


def test_answers_of_another_tool_are_measured_by_their_references(project, capsys):
    heldout = write_rows(Path("heldout.jsonl"), HELD_OUT)
    Path("one.txt").write_text('{"status": "late"}\n{}\nDone.\nHi.\nNo.\n')
    rows = [{"output": row["messages"][1]["content"], "model": "m"} for row in HELD_OUT]
    two = write_rows(Path("two.jsonl"), rows)
    arguments = ["--answers", "one.txt", "--answers", str(two), "--references", str(heldout)]
    assert run(["score", *arguments, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    (exact,) = (line for line in figures["metrics"] if line["name"] == "exact_match")
    assert (exact["n"], exact["base_right"], exact["adapter_right"]) == (5, 3, 5)
    assert run(["score", *arguments]) == 0
    assert "one.txt against two.jsonl, 5 answers" in capsys.readouterr().out


def test_answers_with_ids_are_put_in_the_references_order(project, capsys):
    write_rows(Path("refs.jsonl"), [{"id": i, "reference": f"word {i}"} for i in range(3)])
    write_rows(Path("a.jsonl"), [{"id": i, "answer": f"word {i}"} for i in (2, 0, 1)])
    assert run(["score", "--answers", "a.jsonl", "--references", "refs.jsonl", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert figures["metrics"][0]["base_right"] == 3


def test_two_tools_answers_go_together_by_id_without_references_too(project, capsys):
    write_rows(Path("a.jsonl"), [{"id": i, "answer": f"word {i}"} for i in (0, 1, 2)])
    write_rows(Path("b.jsonl"), [{"id": i, "answer": f"word {i}"} for i in (2, 0, 1)])
    arguments = ["--answers", "a.jsonl", "--answers", "b.jsonl", "--regex", "1", "--regex", "1"]
    assert run(["score", *arguments, "--json"]) == 0
    (line,) = json.loads(capsys.readouterr().out)["figures"]["metrics"]
    assert (line["better"], line["worse"]) == (0, 0)


@pytest.mark.parametrize("name", ["refs.csv", "refs.json", "refs.parquet"])
def test_references_may_be_a_dataset_of_any_container(project, capsys, name):
    rows = [{"prompt": f"q {i}", "completion": f"word {i}"} for i in range(3)]
    match name:
        case "refs.csv":
            lines = [f"{row['prompt']},{row['completion']}" for row in rows]
            Path(name).write_text("\n".join(["prompt,completion", *lines]) + "\n")
        case "refs.json":
            Path(name).write_text(json.dumps(rows, indent=1))
        case _:
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), name)
    # A mark of the encoding, empty lines and no answer at all are all met in the wild.
    text = '\ufeff{"answer": "word 0"}\n\n{"answer": null}\n{"answer": "word 2"}\n'
    Path("a.jsonl").write_text(text, "utf-8")
    assert run(["score", "--answers", "a.jsonl", "--references", name, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert (figures["n"], figures["metrics"][0]["base_right"]) == (3, 2)
    assert figures["quantities"][0]["base"] == pytest.approx(4)


def test_answers_may_be_one_json_array(project, capsys):
    Path("a.json").write_text(json.dumps([{"answer": "yes"}, {"answer": "no"}], indent=2))
    assert run(["score", "--answers", "a.json", "--regex", "^yes$", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert (figures["n"], figures["metrics"][0]["base_right"]) == (2, 1)


def test_chats_are_measured_by_their_last_turn(project, capsys):
    path = str(write_rows(Path("heldout.jsonl"), HELD_OUT))
    assert run(["score", "--answers", path, "--references", path, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert {line["base_right"] for line in figures["metrics"] if not line["graded"]} == {5, 2}


def test_answers_alone_are_measured_by_a_rule(project, capsys):
    Path("a.txt").write_text("yes\nno\nmaybe\n")
    assert run(["score", "--answers", "a.txt", "--regex", "^(yes|no)$"]) == 0
    said = capsys.readouterr().out
    assert "2/3" in said
    assert "length (characters)  3  3.33" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "which run?"),
        (["nothing"], "no run named 'nothing'"),
        (["support-v1", "--against", "x"], "no side 'x': there are base, adapter, old"),
        (["support-v1", "--by", "colour"], "can't be sliced by 'colour'"),
        (["support-v1", "--metric", "wit"], "no slices by the metric 'wit'"),
        (["support-v1", "--regex", "("], "is no regular expression of RE2"),
        (["support-v1", "--schema", "none.json"], "can't read the schema none.json"),
        (["support-v1", "--answers", "a.txt"], "leave out the run"),
        (["support-v1", "--references", "a.txt"], "--references go with --answers"),
        (["--answers", "none.txt"], "can't read none.txt"),
        (["--answers", "empty.txt"], "empty.txt is empty"),
        (["--answers", "a.txt", "--answers", "b.txt"], "b.txt has 1 line and a.txt has 2"),
        (["--answers", "a.txt", "--references", "b.txt"], "a.txt has 2 lines and b.txt has 1"),
        (["--answers", "bad.jsonl"], "bad.jsonl:2 is not JSON"),
        (["--answers", "odd.jsonl"], "odd.jsonl:1 has none of answer, response"),
        (["--answers", "id.jsonl", "--references", "ids.jsonl"], "no answer with the id '2'"),
        (["--answers", "twice.jsonl", "--references", "ids.jsonl"], "has the id '2' twice"),
        (["--answers", "a.txt", "--references", "packed.txt"], "packed.txt is no text"),
        (["--answers", "a.txt", "--side", "old"], "leave out the run, --against, --side"),
        (["support-v1", "--against", "adapter"], "'adapter' can't be measured against itself"),
        (["--answers", "a.txt", "--references", "open.jsonl"], "open.jsonl:1 has no reference"),
        (["--answers", "a.txt", "--answers", "a.txt", "--answers", "a.txt"], "3 files of answers"),
    ],
)
def test_bad_input_gets_one_sentence_and_exit_2(answered, project, capsys, arguments, words):
    Path("a.txt").write_text("one\ntwo\n")
    Path("b.txt").write_text("one")
    Path("empty.txt").write_text("")
    Path("bad.jsonl").write_text('{"answer": "x"}\n{"answer": \n')
    write_rows(Path("odd.jsonl"), [{"said": "x"}])
    write_rows(Path("id.jsonl"), [{"id": 1, "answer": "x"}])
    write_rows(Path("ids.jsonl"), [{"id": 2, "reference": "x"}])
    write_rows(Path("twice.jsonl"), [{"id": 2, "answer": "x"}] * 2)
    Path("packed.txt").write_bytes(b"\x1f\x8b\x08\x00")
    write_rows(Path("open.jsonl"), [{"messages": [{"role": "user", "content": "hi"}]}] * 2)
    assert run(["score", *arguments]) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
