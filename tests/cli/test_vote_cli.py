"""`tuiwb vote` and `tuiwb compare export`: the same ballot as on the screen, without one."""

import json
import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pytest
import yaml

from tests.app.compare.comparing import (
    NASTY,
    compared_run,
    judged_by,
    judged_for_the_adapter,
    small_project,
)
from tests.cli.conftest import Done, Tuiwb
from tuiwb.compare.completions import read_completions
from tuiwb.compare.vote.ballot import Ballot
from tuiwb.project import Project


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return small_project(tmp_path, monkeypatch).root


@pytest.fixture
def compare(home: Path) -> Path:
    return compared_run(Project(home)) / "compare"


def document(done: Done) -> dict:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_one_key_a_pair_is_saved_at_once_and_goes_on_where_it_was(tuiwb: Tuiwb, compare: Path):
    done = tuiwb("vote", "support-v1", said="a\n?\nl\nu\n \nq\n")
    assert done.returncode == 0
    assert "'?' is none of the keys" in done.stdout
    assert "2 of 7 pairs have a vote" in done.stderr
    ballot = Ballot(compare, read_completions(compare), rater="mia")
    assert [ballot.choice(pair) for pair in ballot.pairs[:3]] == ["left", "tie", None]
    done = tuiwb("vote", "support-v1", "--rater", "kim", said="a\ns\nq\n")
    assert "1 of 7 pairs have a vote, 1 skipped: the same" in done.stderr
    # The end of the input leaves; the next call begins at the first open pair.
    done = tuiwb("vote", "support-v1", said="b\n")
    assert "--- pair 3 of 7" in done.stdout
    assert "--- pair 2 of 7" not in done.stdout


def test_what_is_shown_is_inert_and_never_says_which_side_is_which(tuiwb: Tuiwb, compare: Path):
    done = tuiwb("vote", "support-v1", said="s\n" * 7)
    assert "--- LEFT" in done.stdout
    assert NASTY not in done.stdout
    assert "␛[31mred" in done.stdout
    for tell in ("fine-tune", "adapter", "support-v1", "tok"):
        assert tell not in done.stdout
    state = tuiwb("vote", "support-v1", "--json").stdout
    assert "adapter" not in state
    assert '"base"' not in state


def test_votes_come_from_a_file_all_or_none(tuiwb: Tuiwb, compare: Path, tmp_path: Path):
    state = document(tuiwb("vote", "support-v1", "--json"))
    pairs = [pair["pair"] for pair in state["pairs"]]
    votes = tmp_path / "votes.txt"
    good = json.dumps({"pair": pairs[0], "choice": "left"})
    votes.write_text(good + '\n{"pair": "nope", "choice": "tie"}')
    done = tuiwb("vote", "support-v1", "--import", str(votes))
    assert done.returncode == 2
    assert "votes.txt:2: there is no pair 'nope'" in done.stderr
    votes.write_text(good.replace("left", "best"))
    done = tuiwb("vote", "support-v1", "--import", str(votes))
    assert (done.returncode, "votes.txt:1 is no vote" in done.stderr) == (2, True)
    assert '"choice": "best"}): write {' in done.stderr
    # Left and right are drawn for each rater: another's votes would name the wrong sides.
    votes.write_text(json.dumps({"pair": pairs[0], "choice": "left", "rater": "kim"}))
    done = tuiwb("vote", "support-v1", "--import", str(votes))
    assert (done.returncode, "a vote of kim, not of mia" in done.stderr) == (2, True)
    assert document(tuiwb("vote", "support-v1", "--json"))["voted"] == 0
    lines = [json.dumps({"pair": pair, "choice": "left", "seconds": 2}) for pair in pairs]
    votes.write_text("\n".join(lines))
    state = document(tuiwb("vote", "support-v1", "--import", str(votes), "--json"))
    assert (state["voted"], state["next"]) == (7, None)
    shown = document(tuiwb("vote", "support-v1", "--reveal", "--json"))
    assert shown["tally"]["left_share"] == 1.0
    assert (shown["tally"]["repeated"], shown["tally"]["consistent"]) == (2, 0)
    assert set(shown["winners"].values()) <= {"base", "adapter", "tie"}
    done = tuiwb("vote", "support-v1", "--import", str(votes))
    assert (done.returncode, "locks the votes" in done.stderr) == (2, True)


def test_status_says_how_far_every_rater_is_and_agreement_once_revealed(
    tuiwb: Tuiwb, compare: Path
):
    tuiwb("vote", "support-v1", said="s\n" * 7)
    tuiwb("vote", "support-v1", "--rater", "kim", said="t\nt\n")
    done = tuiwb("vote", "support-v1", "--status")
    assert done.stdout == (
        "mia: 0 of 7 pairs have a vote, 7 skipped, open (2 of them repeats that check the rater)\n"
        "kim: 2 of 7 pairs have a vote, open (2 of them repeats that check the rater)\n"
    )
    tuiwb("vote", "support-v1", "--rater", "kim", "--reveal")
    tuiwb("vote", "support-v1", "--reveal")
    told = document(tuiwb("vote", "support-v1", "--status", "--json"))
    assert [r["revealed"] for r in told["raters"]] == [True, True]
    assert [(r["pairs"], r["repeats"]) for r in told["raters"]] == [(7, 2), (7, 2)]
    assert told["agreement"][0]["kappa"]["n"] == 0


def test_revealing_without_a_vote_locks_nothing(tuiwb: Tuiwb, compare: Path):
    done = tuiwb("vote", "support-v1", "--reveal")
    assert done.returncode == 2
    assert "nothing to reveal" in done.stderr
    assert document(tuiwb("vote", "support-v1", "--json"))["revealed"] is False


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("vote", "nope"), "no run named 'nope'"),
        (("vote", "support-v1", "--sides", "base,x"), "'base,x' names no two sides"),
        (("vote", "support-v1", "--rater", "a\tb\x1b"), "no rater's name"),
        (("compare", "export", "support-v1"), "give --dpo OUT.jsonl or --kto"),
        (("compare", "export", "support-v1", "--dpo", "o.jsonl"), "nothing to export"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(tuiwb: Tuiwb, compare: Path, arguments, words):
    done = tuiwb(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_run_that_was_not_compared_says_how_to(tuiwb: Tuiwb, home: Path, compare: Path):
    compare.rename(compare.with_name("elsewhere"))
    done = tuiwb("vote", "support-v1")
    assert done.returncode == 2
    assert "run 'tuiwb compare support-v1' first" in done.stderr


def test_revealed_votes_are_exported_and_others_are_named(tuiwb: Tuiwb, home: Path, compare: Path):
    tuiwb("vote", "support-v1", said="a\n" * 7)
    tuiwb("vote", "support-v1", "--rater", "kim", said="l\n")
    done = tuiwb("compare", "export", "support-v1", "--dpo", "out/pairs.jsonl")
    assert done.returncode == 2
    tuiwb("vote", "support-v1", "--reveal")
    (home / "out").mkdir()
    done = tuiwb("compare", "export", "support-v1", "--dpo", "out/pairs.jsonl")
    assert done.returncode == 0
    assert "5 rows of 5 pairs in out/pairs.jsonl" in done.stdout
    assert "held out" in done.stdout
    assert "votes of kim are left out" in done.stderr
    rows = [json.loads(line) for line in (home / "out" / "pairs.jsonl").read_text().splitlines()]
    assert {tuple(row["provenance"]["who"]) for row in rows} == {("mia",)}
    told = document(tuiwb("compare", "export", "support-v1", "--kto", "k.jsonl", "--json"))
    assert (told["rows"], told["held_out"]) == (10, "data/heldout.jsonl")
    again = tuiwb("compare", "export", "support-v1", "--kto", "k.jsonl")
    assert (again.returncode, "nothing is written over" in again.stderr) == (2, True)


def test_disagreements_with_the_judge_are_listed_and_ruled_without_a_screen(
    tuiwb: Tuiwb, home: Path, compare: Path
):
    done = tuiwb("vote", "support-v1", "--review")
    assert (done.returncode, "not revealed" in done.stderr) == (2, True)
    ballot = Ballot(compare, read_completions(compare), rater="mia")
    for pair in ballot.pairs:
        ballot.vote(pair, "left" if pair.left == "base" else "right")
    ballot.reveal()
    done = tuiwb("vote", "support-v1", "--review")
    assert (done.returncode, "no verdicts" in done.stderr) == (2, True)
    judged_for_the_adapter(Project(home), compare)
    done = tuiwb("vote", "support-v1", "--review")
    assert "id00  line 1: you base, the judge fine-tune\n    it is JSON" in done.stdout
    told = document(
        tuiwb("vote", "support-v1", "--rule", "id00=judge", "--rule", "id02=unclear", "--json")
    )
    ruled = {d["pair"]: d["ruling"] for d in told["disagreements"]}
    assert (ruled["id00"], ruled["id02"], ruled["id05"]) == ("judge", "unclear", None)
    assert "id03" not in ruled
    done = tuiwb("vote", "support-v1", "--rule", "id03=judge")
    assert (done.returncode, "no disagreement on 'id03'" in done.stderr) == (2, True)
    done = tuiwb("vote", "support-v1", "--rule", "id00=me")
    assert (done.returncode, "human, judge, unclear, none" in done.stderr) == (2, True)


def test_the_tally_calls_the_sides_what_they_are(tuiwb: Tuiwb, compare: Path):
    job = yaml.safe_load((compare / "job.yaml").read_text())
    job["spec"]["sides"] = [{"name": "base", "label": "v1"}, {"name": "adapter", "label": "v2"}]
    (compare / "job.yaml").write_text(yaml.safe_dump(job))
    ballot = Ballot(compare, read_completions(compare), rater="mia")
    for pair in ballot.pairs:
        ballot.vote(pair, "left" if pair.left == "adapter" else "right")
    told = tuiwb("vote", "support-v1", "--reveal").stdout
    assert "v2 won 5, lost 0, tied 1 against v1" in told
    assert "base" not in told
    assert "fine-tune" not in told


def test_in_a_terminal_keys_held_down_are_one_vote(home: Path, compare: Path):
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 8))
    command = [sys.executable, "-m", "tuiwb", "vote", "support-v1", "-C", str(home)]
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave) as process:
        os.close(slave)
        shown = b""
        for place, keys in ((1, b"aaaaaaaa"), (2, b"l"), (3, b"q")):
            while b"leave: " not in shown.partition(b"pair %d of 7" % place)[2]:
                shown += os.read(master, 4096)
            os.write(master, keys)
        assert process.wait(180) == 0
    os.close(master)
    # Lines too long for the terminal break between words.
    assert b"question\r\n" in shown
    assert b"question " not in shown
    ballot = Ballot(compare, read_completions(compare), rater="mia")
    assert [ballot.choice(pair) for pair in ballot.pairs[:3]] == ["left", "right", None]


def test_review_and_export_take_any_judge_by_its_name(tuiwb: Tuiwb, home: Path, compare: Path):
    ballot = Ballot(compare, read_completions(compare), rater="mia")
    for pair in ballot.pairs:
        ballot.vote(pair, "left" if pair.left == "base" else "right")
    ballot.reveal()
    judged_for_the_adapter(Project(home), compare)
    judged_by(Project(home), compare, "odd-judge", "judge-odd", "base", tie="id04")
    done = tuiwb("vote", "support-v1", "--review")
    assert "judge some-judge: you differ on 5 of 5 pairs" in done.stdout
    assert "--judge names another: odd-judge" in done.stdout
    told = document(tuiwb("vote", "support-v1", "--judge", "odd-judge", "--json"))
    assert [(d["pair"], d["verdict"]) for d in told["disagreements"]] == [("id04", "tie")]
    done = tuiwb("vote", "support-v1", "--review", "--judge", "nobody")
    assert (done.returncode, "some-judge, odd-judge" in done.stderr) == (2, True)
    words = ("compare", "export", "support-v1", "--from", "verdicts")
    tuiwb(*words, "--dpo", "one.jsonl")
    tuiwb(*words, "--dpo", "other.jsonl", "--judge", "odd-judge")
    for name, good, bad in (("one", "adapter", "base"), ("other", "base", "adapter")):
        rows = [json.loads(line) for line in Path(f"{name}.jsonl").read_text().splitlines()]
        assert len(rows) == 4
        completions = {
            c.id: {"base": c.base, "adapter": c.adapter} for c in read_completions(compare)
        }
        for row in rows:
            texts = completions[row["provenance"]["prompt_id"]]
            assert row["chosen"][0]["content"] == texts[good]
            assert row["rejected"][0]["content"] == texts[bad]
            assert row["provenance"]["t"] == 1.0


def test_the_commands_load_neither_torch_nor_textual_nor_the_sdk() -> None:
    code = (
        "import sys, tuiwb.cli.vote, tuiwb.cli.compare_export, tuiwb.compare.preference_data; "
        "print([m for m in ('torch', 'transformers', 'textual', 'anthropic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
