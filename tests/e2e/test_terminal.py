"""The real program in a real terminal: a run started by keys outlives the terminal it came from."""

import os
import shlex
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import LIMIT, QUIET, Terminal, wait_until
from tuiwb import jobs
from tuiwb.data.marks import Marks, marks_path
from tuiwb.data.read import open_dataset
from tuiwb.jobs import process
from tuiwb.project import Project, copy_sample

Open = Callable[..., Terminal]

SHORT = """\
model:
  base: models/tiny-chat
method: sft
data:
  train: data/support.jsonl
  heldout: null
lora:
  r: 4
training:
  max_steps: {steps}
  per_device_train_batch_size: 4
  learning_rate: 2.0e-3
  max_length: 256
  logging_steps: 1
  eval_strategy: "no"
  save_strategy: steps
  save_steps: 20
"""


@pytest.fixture
def sample(tmp_path: Path) -> Iterator[Project]:
    """A copy of the sample project with a short config; what still runs at the end is ended."""
    project = copy_sample(tmp_path / "sample")
    for path in project.configs():
        path.unlink()
    (project.root / "configs" / "short.yaml").write_text(SHORT.format(steps=12))
    yield project
    for folder in project.job_folders():
        identity = process.read(folder)
        if identity is not None and process.alive(identity):
            os.kill(identity.pid, signal.SIGKILL)


def begin(terminal: Terminal, project: Project) -> Path:
    """Start the run as a new user would: Config, ctrl+t, enter on the proposed name."""
    terminal.wait_for("Look at the data")
    terminal.press("3")
    terminal.wait_for("short.yaml", "ready")
    terminal.press("^t")
    terminal.wait_for("Train as")
    terminal.press("enter")
    terminal.wait_for("short-v1", "Diagnose")
    return project.run("short-v1")


def step_of(folder: Path) -> int:
    return jobs.status(folder).step


def looked_at(terminals: Open, project: Project, *words: str) -> Terminal:
    """Another terminal with the Train screen on the run."""
    terminal = terminals(str(project.root), columns=80, rows=24)
    terminal.wait_for("short-v1")
    terminal.press("4")
    terminal.wait_for("short-v1", *words)
    return terminal


@pytest.mark.slow
def test_a_run_goes_on_and_finishes_after_the_ui_is_killed_and_loses_its_terminal(
    sample: Project, terminals: Open
) -> None:
    first = terminals(str(sample.root))
    folder = begin(first, sample)
    # It stands until both have happened: however slow the screens are, it isn't over before.
    jobs.send(folder, "pause")
    wait_until(
        lambda: jobs.status(folder).phase == "paused", LIMIT, lambda: f"{jobs.status(folder)}"
    )
    identity = process.read(folder)
    assert identity is not None
    first.kill()
    assert process.alive(identity), "the run died with the screen it came from"
    looked_at(terminals, sample, "paused").hang_up()
    assert process.alive(identity), "the run died with a terminal"
    seen = step_of(folder)
    jobs.send(folder, "resume")
    wait_until(lambda: step_of(folder) > seen, LIMIT, lambda: "the run stood still")
    looked_at(terminals, sample, "loss", "finished", "step 12/12")

    state = jobs.status(folder)
    assert state.state == "finished"
    assert state.step == 12
    assert (folder / "adapter" / "adapter_model.safetensors").is_file()


@pytest.mark.slow
def test_stop_by_key_saves_the_adapter(sample: Project, terminals: Open) -> None:
    (sample.root / "configs" / "short.yaml").write_text(SHORT.format(steps=100_000))
    terminal = terminals(str(sample.root), columns=80, rows=24)
    folder = begin(terminal, sample)
    wait_until(lambda: step_of(folder) >= 2, LIMIT, lambda: f"no step: {jobs.status(folder)}")
    terminal.wait_for("c Checkpoint")  # the screen reads the run a moment after the disk has it
    terminal.press("c")
    terminal.wait_for("saves a checkpoint")
    wait_until(lambda: jobs.status(folder).last_checkpoint, LIMIT, lambda: "no checkpoint came")
    terminal.press("s")
    terminal.wait_for("Stop short-v1?")
    terminal.press("y")
    terminal.wait_for("stopped at step")
    assert (folder / "adapter" / "adapter_model.safetensors").is_file()
    assert jobs.status(folder).state == "cancelled"


def test_bytes_that_are_not_utf8_do_not_end_the_program(sample: Project, terminals: Open) -> None:
    terminal = terminals(str(sample.root))
    terminal.wait_for("Look at the data")
    # A mouse report in the old encoding, column above 95, as a tmux reattach can deliver.
    terminal.write(b"\x1b[M \xa9\x30\xff\xfe\x80")
    terminal.press("4")
    terminal.wait_for("no run yet")
    assert not terminal.ended()


def test_the_whole_program_fits_80_by_24(sample: Project, terminals: Open) -> None:
    terminal = terminals(str(sample.root), columns=80, rows=24)
    terminal.wait_for("1 Home", "6 Serve", "Look at the data", "Quit")
    terminal.press("3")
    terminal.wait_for("short.yaml", "Check")
    terminal.press("f1")
    terminal.wait_for("Config: keys")
    terminal.press("^q")
    wait_until(terminal.ended, LIMIT, lambda: f"q did not quit:\n{terminal.text}")


def test_no_colour_is_honoured(
    sample: Project, terminals: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = terminals(str(sample.root), columns=80, rows=24)
    terminal.wait_for("Look at the data")
    colours = terminal.colours
    grey = {"default", "black", "white"} | {c for c in colours if len(c) == 6 and c[:2] == c[2:4]}
    assert colours <= grey


def test_an_editor_that_fails_leaves_the_screen_as_it_was(sample: Project, terminals: Open) -> None:
    failing = {"VISUAL": "", "EDITOR": "false"}
    terminal = terminals(str(sample.root), columns=80, rows=24, environment=failing)
    terminal.wait_for("Look at the data")
    terminal.press("2")
    terminal.wait_for("Row 0")
    terminal.press("E")
    terminal.wait_for("the editor 'false' ended with", "Row 0")
    terminal.press("j")
    terminal.wait_for("Row 1")
    terminal.press("q")
    wait_until(terminal.ended, LIMIT, lambda: f"q did not quit:\n{terminal.text}")


def test_what_was_typed_in_an_editor_and_is_no_json_can_be_mended(
    sample: Project, terminals: Open, tmp_path: Path
) -> None:
    editor = tmp_path / "editor"
    editor.write_text(
        'if mkdir "$0.seen"; then sed -i \'2s/:/ =/; s/support desk/desk of words/\' "$1"\n'
        "else sed -i '2s/ =/:/' \"$1\"; fi 2> /dev/null\n"
    )
    terminal = terminals(
        str(sample.root), columns=80, rows=24,
        environment={"VISUAL": "", "EDITOR": f"sh {shlex.quote(str(editor))}"},
    )  # fmt: skip
    terminal.wait_for("Look at the data")
    terminal.press("2")
    terminal.wait_for("Row 0", "support desk")
    terminal.press("E")
    terminal.wait_for("is not JSON: line 2, column 14", "desk of words", 'messages" =')
    chats = sample.root / "data" / "support.jsonl"
    assert not marks_path(chats).exists()
    terminal.press("^o")
    terminal.wait_for("[✎]", "desk of words")
    assert Marks(chats, open_dataset(chats)).counts() == {"edited": 1}


def test_an_idle_screen_sends_next_to_nothing(sample: Project, terminals: Open) -> None:
    terminal = terminals(str(sample.root), columns=120, rows=36)
    terminal.wait_for("Look at the data", "Quit")
    quiet = {"since": 0.0, "bytes": -1}

    def settled() -> bool:
        import time

        now = time.monotonic()
        if terminal.bytes_seen != quiet["bytes"]:
            quiet.update(since=now, bytes=terminal.bytes_seen)
        return now - quiet["since"] > QUIET

    wait_until(settled, LIMIT, lambda: "the idle screen never stopped sending")


def test_the_screen_ends_with_its_terminal_even_where_hangups_are_ignored(
    sample: Project, terminals: Open
) -> None:
    terminal = terminals(str(sample.root), hangup_ignored=True)
    terminal.wait_for("Look at the data")
    terminal.hang_up()
