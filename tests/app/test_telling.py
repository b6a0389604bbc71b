"""News for whoever looks elsewhere: told once, also after the program was opened again."""

from pathlib import Path

from tests.app.runs import a_run, add, an_alert
from tuiwb import jobs
from tuiwb.app.telling import Teller
from tuiwb.jobs import JobState
from tuiwb.jobs.events import State
from tuiwb.project import Project


def states(project: Project) -> dict[Path, JobState]:
    return {folder: jobs.status(folder) for folder in project.job_folders()}


def test_what_happened_before_the_first_time_is_not_told(project: Project) -> None:
    a_run(project, "old", "failed", message="no", more=[an_alert()])
    teller = Teller(project.cache / "told.json")
    assert teller.news(states(project)) == []


def test_a_new_alert_and_the_end_are_told_once_even_after_opening_again(project: Project) -> None:
    folder = a_run(project, "live", "running", steps=10)
    path = project.cache / "told.json"
    teller = Teller(path)
    assert teller.news(states(project)) == []
    add(folder, [an_alert(12), an_alert(13, "note")])
    told = teller.news(states(project))
    assert [news.title for news in told] == ["live: loss spike"]
    assert "step 12" in told[0].body
    assert teller.news(states(project)) == []

    again = Teller(path)
    assert again.news(states(project)) == []
    add(folder, [State(state="failed", message="the disk is full")])
    told = Teller(path).news(states(project))
    assert [(news.title, news.body) for news in told] == [("live has failed", "the disk is full")]
    assert Teller(path).news(states(project)) == []


def test_a_run_that_was_stopped_by_hand_is_no_news(project: Project) -> None:
    folder = a_run(project, "live", "running", steps=10)
    teller = Teller(project.cache / "told.json")
    teller.news(states(project))
    add(folder, [State(state="cancelled", message="stopped")])
    assert teller.news(states(project)) == []


def test_a_broken_memory_of_what_was_told_is_begun_anew(project: Project) -> None:
    path = project.cache / "told.json"
    path.parent.mkdir(exist_ok=True)
    for broken in (b"{", b"[]", b'{"told": 3}', b"\xff\x00"):
        path.write_bytes(broken)
        a_run(project, f"run-{len(broken)}-{broken[0]}", "failed", message="no")
        assert Teller(path).news(states(project)) == []
