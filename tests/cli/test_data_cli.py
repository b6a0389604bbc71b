"""`tuiwb data`: what a person reads, what a machine reads, and exit codes that mean something."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tuiwb.cli import run
from tuiwb.data.reports import newest_report
from tuiwb.project import Project

SAMPLE = Path(__file__).parents[2] / "sample_data"
RAW, HELD_OUT = SAMPLE / "data" / "support_raw.jsonl", SAMPLE / "data" / "heldout.jsonl"
CLEAN = SAMPLE / "data" / "support.jsonl"


def out(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = run(["data", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def as_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, Any]:
    code, text, err = out(capsys, *arguments, "--json")
    assert err == ""
    return code, json.loads(text)


def test_check_exits_1_with_findings_and_0_without(capsys: pytest.CaptureFixture[str]) -> None:
    code, report = as_json(capsys, "check", RAW, "--against", HELD_OUT)
    assert code == 1
    assert set(report) == {"rows", "seconds", "findings", "audit"}
    assert report["rows"] == 1282
    keys = {"file", "row", "line", "check", "field", "start", "end", "kind", "text", "of",
            "score", "severity"}  # fmt: skip
    assert all(keys <= set(finding) for finding in report["findings"])
    assert any(finding["check"] == "leakage" for finding in report["findings"])
    code, text, _ = out(capsys, "check", CLEAN, "--against", HELD_OUT)
    assert (code, text.strip().split(": ")[-1]) == (0, "nothing found")


def test_check_names_each_place_as_file_and_line(capsys: pytest.CaptureFixture[str]) -> None:
    _, text, _ = out(capsys, "check", RAW)
    malformed = [line for line in text.splitlines() if " malformed: " in line]
    assert malformed
    assert all(line.startswith(f"! {RAW}:") for line in malformed)


def test_show_prints_the_conversation_or_the_row_as_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, text, _ = out(capsys, "show", CLEAN, "--row", 3)
    assert code == 0
    assert text.startswith(f"{CLEAN}:4  row 3 of 1200  messages\n\n[system]\n")
    assert "[user]\n" in text
    assert "[assistant]\n" in text
    _, row = as_json(capsys, "show", CLEAN, "--row", 3)
    assert (row["index"], row["line"], row["rows"], row["shape"]) == (3, 4, 1200, "chat")


@pytest.mark.slow
def test_show_with_a_model_marks_trained_and_special_tokens(
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = SAMPLE / "models" / "tiny-chat"
    _, text, _ = out(capsys, "show", CLEAN, "--row", 0, "--model", model)
    assert "⟦<|im_start|>⟧assistant\n▶{" in text
    assert "}⟦<|im_end|>⟧◀" in text
    _, rendered = as_json(capsys, "show", CLEAN, "--row", 0, "--model", model)
    trained = "".join(t["text"] for t in rendered["tokens"] if t["trained"])
    assert trained.startswith('{"intent"')
    assert trained.endswith("<|im_end|>")
    assert rendered["stop_token_trained"] is True


def test_list_counts_rows_and_names_files_that_cannot_be_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
    (tmp_path / "b.csv").write_text("")
    code, listed = as_json(capsys, "list", tmp_path)
    assert code == 0
    assert [(e["name"], e["rows"], e["format"]) for e in listed] == [
        ("a.jsonl", 2, "text"), ("b.csv", None, None)
    ]  # fmt: skip
    assert "is empty" in listed[1]["problem"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "there is no file"), (b"", "is empty"), (b'{"messages": [', ":1 breaks off")],
)
@pytest.mark.parametrize("command", ["show", "check"])
def test_bad_input_is_one_sentence_and_exit_2(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    command: str,
    content: bytes | None,
    sentence: str,
) -> None:
    path = tmp_path / "d.jsonl"
    if content is not None:
        path.write_bytes(content)
    code, text, err = out(capsys, command, path)
    assert (code, text) == (2, "")
    assert err.startswith("error: ")
    assert sentence in err
    assert err.count("\n") == 1


def test_a_broken_row_and_a_row_beyond_the_end_exit_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text('{"text": "a"}\n{"half\n')
    assert out(capsys, "show", path, "--row", 1)[0] == 2
    code, _, err = out(capsys, "show", path, "--row", 2)
    assert (code, "no row 2" in err) == (2, True)
    code, _, err = out(capsys, "show", path, "--model", tmp_path)
    assert (code, "has no tokenizer" in err) == (2, True)


def test_hostile_text_reaches_the_terminal_inert_and_json_as_utf_8(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text(json.dumps({"text": "a\x1b[31m\ud800 me@post.test"}) + "\n")
    _, text, _ = out(capsys, "show", path)
    assert "a␛[31m\\ud800" in text
    assert as_json(capsys, "show", path)[1]["text"] == "a\x1b[31m? me@post.test"
    code, report = as_json(capsys, "check", path)
    assert (code, {f["check"] for f in report["findings"]}) == (1, {"malformed", "pii", "encoding"})


def test_reading_a_row_loads_neither_torch_nor_textual_nor_arrow() -> None:
    script = (
        "import sys; from tuiwb.cli import run; run(['data', 'show', sys.argv[1]]);"
        "heavy = {'torch', 'transformers', 'trl', 'datasets', 'textual', 'pyarrow'};"
        "sys.exit(str(sorted(heavy & set(sys.modules))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(CLEAN)], capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() == "[]"


def test_a_check_of_a_file_of_the_project_is_kept_like_the_screens(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "project"
    (home / "data").mkdir(parents=True)
    (home / "tuiwb.yaml").write_text("{}\n")
    rows = home / "data" / "mine.jsonl"
    rows.write_bytes(b"".join(RAW.read_bytes().splitlines(keepends=True)[:300]))
    monkeypatch.chdir(home)
    code, text, err = out(capsys, "check", "data/mine.jsonl")
    assert (code, err.split(":")[0]) == (1, "kept as runs/checks/mine-1")
    checked = newest_report(Project(home), rows)
    assert checked is not None
    assert checked.summary is not None
    assert f": {checked.summary.findings} findings in" in text
    assert (checked.stale, len(checked.columns or [])) == (False, 300)
    code, facets, _ = out(capsys, "rows", "data/mine.jsonl", "check:malformed")
    assert (code, facets != "") == (0, True)
    code, report = as_json(capsys, "check", "data/mine.jsonl")
    assert len(report["findings"]) == checked.summary.findings
    assert (home / "runs" / "checks" / "mine-2" / "report.json").is_file()
    elsewhere = tmp_path / "elsewhere.jsonl"
    elsewhere.write_bytes(rows.read_bytes())
    assert out(capsys, "check", elsewhere)[2] == ""
    assert len(list((home / "runs" / "checks").iterdir())) == 2
