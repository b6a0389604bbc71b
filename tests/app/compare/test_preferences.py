"""From keys to training data: what the rater preferred on the screen is what the file prefers."""

import json
from pathlib import Path

from textual.widgets import Static

from tests.app.compare.comparing import answer, compared_run, opened, small_project, voting
from tests.app.conftest import until
from tuiwb.app.app import WorkbenchApp
from tuiwb.app.screens.compare_voting import VoteScreen
from tuiwb.app.screens.dialogs import Confirm
from tuiwb.app.widgets.figures import FiguresScreen
from tuiwb.cli import run
from tuiwb.compare.completions import COMPLETIONS
from tuiwb.compare.vote.ballot import Ballot
from tuiwb.jobs.lines import append_lines

PAIRS = 12


def read(screen: VoteScreen, side: str) -> str:
    return str(screen.query_one(f"#{side}", Static).content).strip()


async def test_what_was_preferred_on_the_screen_is_chosen_in_the_file(tmp_path: Path, monkeypatch):
    project = small_project(tmp_path, monkeypatch)
    folder = compared_run(project) / "compare"
    (folder / COMPLETIONS).unlink()
    rows = [answer(n) for n in range(PAIRS)]
    append_lines(folder / COMPLETIONS, rows)
    Ballot(folder, rows, rater="mia", seed=1)
    preferred: dict[str, tuple[str, str]] = {}
    pressed: set[tuple[str, bool]] = set()
    app = WorkbenchApp(project)
    async with app.run_test(size=(120, 36)) as pilot:
        await opened(pilot, app)
        screen = await voting(pilot, app)
        for place in range(len(screen.ballot.pairs)):
            prompt = str(screen.query_one("#prompt", Static).content).strip()
            left, right = read(screen, "left"), read(screen, "right")
            # By the place alone, so that either model wins from either side.
            key = "al"[place % 2]
            pressed.add((key, left.startswith("base")))
            if place < PAIRS:
                preferred[prompt] = (left, right) if key == "a" else (right, left)
            await pilot.press(key)
            await until(lambda done=place + 1: screen.ballot.voted == done)
        await pilot.press("r")
        await until(lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(lambda: isinstance(app.screen, FiguresScreen))
    assert len(preferred) == PAIRS
    assert len(pressed) == 4
    words = ["compare", "export", "support-v1", "-C", str(project.root)]
    assert run([*words, "--dpo", str(tmp_path / "dpo.jsonl")]) == 0
    assert run([*words, "--kto", str(tmp_path / "kto.jsonl")]) == 0
    chosen = {}
    for line in (tmp_path / "dpo.jsonl").read_text().splitlines():
        row = json.loads(line)
        texts = row["chosen"][0]["content"], row["rejected"][0]["content"]
        chosen[row["prompt"][-1]["content"]] = texts
    assert chosen == preferred
    thumbs: dict[str, dict[bool, str]] = {}
    for line in (tmp_path / "kto.jsonl").read_text().splitlines():
        row = json.loads(line)
        thumbs.setdefault(row["prompt"][-1]["content"], {})[row["label"]] = row["completion"][0][
            "content"
        ]
    assert {key: (said[True], said[False]) for key, said in thumbs.items()} == preferred
