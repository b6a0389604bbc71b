"""Which modules a path loads, proven from a subprocess's own list."""

import json
import subprocess
import sys
from pathlib import Path

TORCH_FAMILY = {
    "torch", "transformers", "trl", "peft", "datasets", "accelerate", "vllm", "bitsandbytes",
    "tensorflow", "jax",
}  # fmt: skip

DRIVE = """
import asyncio, json, sys
from pathlib import Path
from tuiwb.project import Project
from tuiwb.app.app import WorkbenchApp

async def main():
    app = WorkbenchApp(Project(Path(sys.argv[1])))
    async with app.run_test(size=(120, 36)) as pilot:
        for mode in ("data", "config", "train", "compare", "serve", "home"):
            await app.action_go(mode)
            await pilot.pause()
asyncio.run(main())
print(json.dumps(sorted(sys.modules)))
"""


def loaded_by(*command: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, check=True, timeout=300
    )
    modules = json.loads(done.stdout.strip().splitlines()[-1])
    return {name.partition(".")[0] for name in modules}


def test_the_ui_loads_no_torch_family_on_any_screen(project) -> None:  # type: ignore[no-untyped-def]
    loaded = loaded_by("-c", DRIVE, str(project.root))
    assert "textual" in loaded
    assert not loaded & TORCH_FAMILY


def test_help_loads_neither_textual_nor_typer(tmp_path: Path) -> None:
    code = (
        "import json, sys; from tuiwb.cli import run; run(['--help']); "
        "print(json.dumps(sorted(sys.modules)))"
    )
    loaded = loaded_by("-c", code)
    assert not loaded & {"textual", "typer", "rich", "pydantic", "numpy", *TORCH_FAMILY}


def test_headless_commands_load_no_textual_and_no_torch(tmp_path: Path) -> None:
    row = '{"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"yo"}]}\n'
    (tmp_path / "rows.jsonl").write_text(row)
    for arguments in (
        ["runs", "list", "-C", str(tmp_path)],
        ["data", "show", str(tmp_path / "rows.jsonl"), "--row", "0"],
        ["data", "check", str(tmp_path / "rows.jsonl")],
        ["score", *(f"--{kind}={tmp_path / 'rows.jsonl'}" for kind in ("references", "answers"))],
    ):
        code = (
            f"import json, sys; from tuiwb.cli import run; run({arguments!r}); "
            "print(json.dumps(sorted(sys.modules)))"
        )
        assert not loaded_by("-c", code) & {"textual", *TORCH_FAMILY}, arguments
