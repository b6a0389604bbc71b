"""Fifty pairs in a real terminal by keys of the home row, the program killed in the middle."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.app.compare.comparing import finished
from tests.compare.builders import HELD_OUT, make_run, write_rows
from tests.e2e.conftest import LIMIT, Terminal, wait_until
from tuiwb import jobs
from tuiwb.compare.completions import COMPLETIONS, Completion, read_completions
from tuiwb.compare.vote.ballot import Ballot
from tuiwb.compare.vote.raters import read_ballots
from tuiwb.jobs.lines import append_lines
from tuiwb.project import Project

Open = Callable[..., Terminal]
PAIRS, REPEATS = 50, 5
ASKED = PAIRS + REPEATS
HOME_ROW = {"v", "a", "l", " ", "b", "s", "u", "j", "k", "n", "r", "y"}


@pytest.fixture
def compared(tmp_path: Path) -> Path:
    """A finished comparison of fifty pairs: the fine-tune is good where the base is poor, but for
    ties (line ends in 3) and where both are bad (line ends in 7)."""
    root = tmp_path / "project"
    write_rows(root / "data" / "heldout.jsonl", HELD_OUT)
    (root / "tuiwb.yaml").write_text("name: desk\nrater: mia\n")
    run = make_run(Project(root), "support-v1", "some/base", root / "data" / "heldout.jsonl")
    (run / "adapter").mkdir()
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        (run / "adapter" / file).write_text("{}")
    spec = {"base": "some/base", "prompts": str(root / "data" / "heldout.jsonl"), "limit": PAIRS}
    jobs.create(run / "compare", "compare", spec, name="support-v1-compare")
    rows = [
        Completion(
            id=f"id{n:02d}",
            index=n,
            line=n + 1,
            prompt=[{"role": "user", "content": f"question {n}"}],
            base=f"poor answer to {n}\n" + "and more of it\n" * (n % 9),
            adapter=f"good answer to {n}",
        )
        for n in range(PAIRS)
    ]
    append_lines(run / "compare" / COMPLETIONS, rows)
    finished(run)
    return run


class Rater:
    """Reads what is on the screen and presses what a person who likes good answers would."""

    def __init__(self, terminal: Terminal, run: Path) -> None:
        self.terminal = terminal
        self.run = run
        self.pressed: list[str] = []

    def press(self, key: str) -> None:
        self.pressed.append(key)
        self.terminal.press(key)

    def wait_for_pair(self, place: int, voted: int) -> None:
        """Wait until a pair is painted whole, on the sides that the ballot says."""
        self.terminal.wait_for(f"pair {place} of {ASKED}", f"vote {voted} of {ASKED}")
        pair = ballot_of(self.run).pairs[place - 1]
        order = ["good", "poor"] if pair.left == "adapter" else ["poor", "good"]
        n = int(pair.id.removeprefix("id"))

        def painted() -> bool:
            text = self.terminal.text
            asked = re.findall(r"question (\d+)", text)
            answers = re.findall(r"(good|poor) answer to (\d+)\b", text)
            return asked == [str(n)] and answers == [(word, str(n)) for word in order]

        wait_until(painted, LIMIT, lambda: f"no pair {place}:\n{self.terminal.text}")

    def choice(self) -> str:
        text = self.terminal.text
        found = re.search(r"question (\d+)", text)
        assert found is not None, text
        last = int(found[1]) % 10
        if last in (3, 7):
            return " " if last == 3 else "b"
        return "a" if text.index("good answer") < text.index("poor answer") else "l"


def opened(terminals: Open, run: Path, *words: str) -> Rater:
    terminal = terminals(str(run.parent.parent), columns=80, rows=24)
    terminal.wait_for("1 Home")
    terminal.press("5")
    terminal.wait_for("support-v1", *words)
    rater = Rater(terminal, run)
    rater.press("v")
    return rater


def ballot_of(run: Path) -> Ballot:
    """The only rater's ballot as it lies on the disk."""
    (ballot,) = read_ballots(run / "compare", read_completions(run / "compare"))
    return ballot


@pytest.mark.slow
def test_fifty_pairs_by_keys_with_a_kill_in_the_middle_end_in_the_right_tally(
    compared: Path, terminals: Open
) -> None:
    first = opened(terminals, compared, "1 of 50")
    for place in range(1, 24):
        first.wait_for_pair(place, place - 1)
        first.press(first.choice())
    first.wait_for_pair(24, 23)
    # One more key, and the program is gone whether or not it has got to it.
    first.press(first.choice())
    first.terminal.kill()

    done = ballot_of(compared).voted
    assert done in (23, 24)
    second = opened(terminals, compared, f"A blind vote is open: {done} of {ASKED}")
    second.wait_for_pair(done + 1, done)
    # A slip: taken back, voted on again; a look back and on to the first one without a vote.
    second.press("s")
    second.wait_for_pair(done + 2, done + 1)
    second.press("u")
    second.wait_for_pair(done + 1, done)
    second.press("k")
    second.wait_for_pair(done, done)
    second.press("n")
    for place in range(done + 1, ASKED + 1):
        second.wait_for_pair(place, place - 1)
        second.press(second.choice())
    second.terminal.wait_for(f"vote {ASKED} of {ASKED}", "all voted")
    second.press("r")
    second.terminal.wait_for("Reveal the sides?")
    second.press("y")
    second.terminal.wait_for("won 40, lost 0, tied 10", "5 of 5 repeated pairs")
    wait_until(lambda: ballot_of(compared).voted == ASKED, LIMIT, lambda: "votes were lost")
    assert set(first.pressed + second.pressed) <= HOME_ROW
    ballot = ballot_of(compared)
    assert ballot.revealed
    tally = ballot.tally()
    assert tally is not None
    assert (tally.counts.wins, tally.counts.losses, tally.counts.ties) == (40, 0, 10)
    assert (tally.both_bad, tally.open, tally.skipped) == (5, 0, 0)
