"""A check tells how far it is, so that a stop is heard while rows are read and compared."""

import json
from pathlib import Path

import pytest

from tests.data.some_rows import chat, findings
from tuiwb.data.checks import check_dataset
from tuiwb.data.checks.role_order import RoleOrder
from tuiwb.data.checks.run import TOLD_EVERY

WORDS = "the parcel with my blue tent came late and one of its poles was bent so"


def near_copies(path: Path, count: int) -> Path:
    rows = [chat(f"{WORDS} i ask about order {n}") for n in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_progress_is_told_for_each_check_and_among_many_findings(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    path = near_copies(tmp_path / "d.jsonl", 3 * TOLD_EVERY)
    check_dataset(path, progress=lambda *one: told.append(one))
    compared = [(done, total) for phase, done, total in told if phase == "comparing rows"]
    checks = compared[0][1]
    assert sorted(set(compared)) == [(n, checks) for n in range(checks)]
    assert len(compared) >= checks + 2
    assert compared == sorted(compared)
    assert told[-1][0] == "done"


def test_what_progress_raises_ends_the_check_while_rows_are_compared(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop(phase: str, done: int, _total: int) -> None:
        if phase == "comparing rows" and done == 3:
            raise Stop

    with pytest.raises(Stop):
        check_dataset(near_copies(tmp_path / "d.jsonl", 5), progress=stop)


def test_prompts_that_are_held_back_keep_no_finding_each() -> None:
    check = RoleOrder()
    system = {"role": "system", "content": "x"}
    user = {"role": "user", "content": "x"}
    bare = [{"messages": [system, user][n % 2 :]} for n in range(300)]
    found = findings(check, [*bare, chat("hi")], 50)
    assert [(f.row, f.field) for f in found] == [(n, f"messages[{1 - n % 2}]") for n in range(300)]
    assert {f.sentence for f in found} == {
        f"messages[{i}]: ends with the user's turn: there is no answer to learn" for i in (0, 1)
    }
    assert len(check._sentences) == 2
    assert len(check._held) == len(check._told) == 300
