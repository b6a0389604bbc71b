"""`tuiwb doctor` as a user calls it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tuiwb.cli import run


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tuiwb.yaml").write_text("name: test\n")
    monkeypatch.chdir(tmp_path)
    for name in ("TUIWB_VLLM_PYTHON", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def checks(capsys: pytest.CaptureFixture[str], code: int) -> dict[str, dict[str, Any]]:
    assert run(["doctor", "--json"]) == code
    out = capsys.readouterr().out
    document = json.loads(out)
    assert document["can_train"] == (code == 0)
    return {check["name"]: check for check in document["checks"]}


def test_where_training_can_run_it_exits_0_and_names_each_version(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("trl", reason="the train extra is not installed")
    found = checks(capsys, 0)
    for name in ("torch", "transformers", "trl", "peft"):
        assert found[name]["status"] in ("ok", "note")
        assert found[name]["found"][0].isdigit()
    assert "build" in found["torch"]["found"] or "CUDA" in found["torch"]["found"]
    assert found["vllm"]["status"] == "note"


def test_the_packages_of_bleu_rouge_and_json_schema_are_named_with_what_lacks(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for package in ("sacrebleu", "rouge_score", "jsonschema"):
        pytest.importorskip(package, reason="the metrics extra is not installed")
    found = checks(capsys, 0)["metrics"]
    assert found["status"] == "ok"
    assert [part.split()[0] for part in found["found"].split(", ")] == [
        "sacrebleu",
        "rouge-score",
        "jsonschema",
    ]
    bare = home / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    (home / "tuiwb.yaml").write_text(f"python: {{train: {bare}/bin/python}}\n")
    told = checks(capsys, 3)
    assert told["metrics of score"]["status"] == "ok"
    lacking = told["metrics of compare"]
    assert lacking["status"] == "note"
    assert lacking["found"].endswith("no BLEU, ROUGE, JSON Schema")
    assert lacking["todo"].endswith("-m pip install 'tuiwb[metrics]'")


def test_a_training_python_that_lacks_the_packages_exits_3_and_says_what_to_do(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = home / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    (home / "tuiwb.yaml").write_text(f"python: {{train: {bare}/bin/python}}\n")
    found = checks(capsys, 3)
    assert found["trl"]["status"] == "missing"
    assert "pip install" in found["trl"]["todo"]
    assert found["tuiwb"]["status"] == "missing"


def test_a_training_python_that_does_not_exist_exits_3(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "tuiwb.yaml").write_text("python: {train: nowhere/python}\n")
    assert checks(capsys, 3)["python.train"]["status"] == "missing"


def test_a_key_is_said_to_be_set_and_never_shown(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("anthropic")
    assert checks(capsys, 0)["judge"]["status"] == "note"
    monkeypatch.setenv("ANTHROPIC_API_KEY", "very-secret")
    run(["doctor"])
    out = capsys.readouterr().out
    assert "a key is set" in out
    assert "very-secret" not in out


def test_a_judge_that_the_project_names_is_told_with_its_address(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("httpx2")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    settings = home / "tuiwb.yaml"
    settings.write_text("judge: 'openai:http://127.0.0.1:8000#my-model'\n")
    told = checks(capsys, 0)["judge"]
    assert told["status"] == "ok"
    assert "my-model at http://127.0.0.1:8000, without a key (OPENAI_API_KEY)" in told["found"]
    settings.write_text("judge: 'openai:nowhere'\n")
    told = checks(capsys, 0)["judge"]
    assert told["status"] == "note"
    assert "names no judge" in told["found"]


def test_a_python_named_for_vllm_that_lacks_it_is_missing_yet_training_can_run(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("trl", reason="the train extra is not installed")
    monkeypatch.setenv("TUIWB_VLLM_PYTHON", "/nowhere/python")
    found = checks(capsys, 0)
    assert found["vllm"]["status"] == "missing"
    assert "TUIWB_VLLM_PYTHON" in found["vllm"]["found"]


def test_the_text_has_a_line_for_each_check_and_a_verdict(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    assert all(line.split()[0] in ("ok", "note", "missing", "→") for line in lines[:-2] if line)
    assert lines[-1].startswith("training can run" if code == 0 else "training can't run")


def test_looking_imports_neither_torch_nor_textual(home: Path) -> None:
    code = (
        "import sys; from tuiwb.cli import run; run(['doctor', '--json']); "
        "print(sorted({'torch', 'transformers', 'textual'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip().endswith("[]")
