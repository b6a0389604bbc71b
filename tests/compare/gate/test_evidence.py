"""What the gate takes into account: only what is about these very answers, adapter and sides."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.compare.builders import chat, make_run, write_rows
from tuiwb import jobs
from tuiwb.compare.completions import COMPLETIONS, SUMMARY, Completion, summarise
from tuiwb.compare.gate.evidence import Evidence, gather
from tuiwb.compare.gate.replay import mixed_in
from tuiwb.compare.vote.ballot import Ballot
from tuiwb.data.mix import mix
from tuiwb.jobs.events import EventWriter, State
from tuiwb.jobs.lines import append_lines
from tuiwb.project import Project


@pytest.fixture
def run(project: Project) -> Path:
    folder = make_run(project, "support-v1", "some/base", project.root / "data" / "heldout.jsonl")
    (folder / "adapter").mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (folder / "adapter" / name).write_text(f"{{}} {name}")
    return folder


def pairs() -> list[Completion]:
    return [
        Completion(
            id=f"id{n}",
            index=n,
            line=n + 1,
            prompt=[{"role": "user", "content": f"question {n}"}],
            base=f"base {n}",
            adapter=f"fine-tune {n}",
        )
        for n in range(4)
    ]


def compared(project: Project, run: Path, state: str = "finished", **spec: Any) -> Path:
    """A comparison of the run as its worker leaves it."""
    prompts = project.root / "data" / "heldout.jsonl"
    files = [prompts, *(run / "adapter").iterdir()]
    folder = run / "compare"
    asked = {"run": str(run), "base": "some/base", "prompts": str(prompts), **spec}
    prints = {path.name: jobs.fingerprint(path) for path in files}
    jobs.create(folder, "compare", asked, name="support-v1-compare", fingerprints=prints)
    append_lines(folder / COMPLETIONS, pairs())
    (folder / SUMMARY).write_bytes(msgspec.json.encode(summarise(pairs(), 4)))
    writer = EventWriter(folder / "events.jsonl")
    writer.emit(State(state=state, exit_code=0))
    writer.close()
    return folder


def found(project: Project, run: Path) -> Evidence:
    return gather(project, run)


def test_a_finished_comparison_of_this_adapter_counts(project, run):
    compared(project, run)
    evidence = found(project, run)
    assert evidence.compare is not None
    assert evidence.compare.done == 4
    assert evidence.compare_problem == ""
    assert evidence.eval_problem == "the run has not been evaluated"


def test_a_comparison_of_an_older_adapter_or_of_other_prompts_counts_for_nothing(project, run):
    compared(project, run)
    (run / "adapter" / "adapter_model.safetensors").write_text("trained again")
    evidence = found(project, run)
    assert evidence.compare is None
    assert "changed since the comparison" in evidence.compare_problem


def side(name: str, kind: str, adapter: Path | None) -> dict[str, Any]:
    return {"name": name, "kind": kind, "adapter": None if adapter is None else str(adapter)}


def test_a_comparison_with_another_run_is_not_one_with_the_base(project, run):
    other = project.runs / "other" / "adapter"
    sides = [side("base", "adapter", other), side("adapter", "adapter", run / "adapter")]
    compared(project, run, sides=sides)
    assert "of other sides" in found(project, run).compare_problem


def test_further_sides_beside_base_and_adapter_do_not_matter(project, run):
    sides = [
        side("base", "base", None),
        side("adapter", "adapter", run / "adapter"),
        side("checkpoint-100", "checkpoint", run / "checkpoints" / "checkpoint-100"),
    ]
    compared(project, run, sides=sides)
    assert found(project, run).compare is not None


def test_votes_of_several_raters_are_one_outcome_a_pair_by_their_majority(project, run):
    folder = compared(project, run)
    says = {
        "ann": ["adapter", "adapter", "base", "adapter"],
        "bob": ["adapter", "base", "base", "tie"],
    }
    for rater, winners in says.items():
        ballot = Ballot(folder, pairs(), rater=rater, seed=1)
        for pair in ballot.pairs:
            wanted = winners[int(pair.id.removeprefix("id"))]
            choice = "tie" if wanted == "tie" else "left" if pair.left == wanted else "right"
            ballot.vote(pair, choice)  # type: ignore[arg-type]
        ballot.reveal()
    hidden = Ballot(folder, pairs(), rater="eve", seed=2)
    hidden.vote(hidden.pairs[0], "left")
    Ballot(folder, pairs(), rater="who only looked", seed=3)
    votes = found(project, run).votes
    assert votes is not None
    assert (votes.raters, votes.hidden) == (2, 1)
    # id0 adapter, id1 even, id2 base, id3 adapter over a tie.
    assert (votes.counts.wins, votes.counts.losses, votes.counts.ties) == (2, 1, 1)


def test_looking_begins_no_vote(project, run):
    folder = compared(project, run)
    assert found(project, run).votes is None
    assert not (folder / "votes.jsonl").exists()


def test_what_is_mixed_into_the_training_data_is_told_from_its_files_or_its_version(
    project, tmp_path
):
    files = [tmp_path / "own.jsonl", tmp_path / "general.jsonl"]
    for file, rows in zip(files, (15, 5), strict=True):
        write_rows(file, [chat(f"{file.stem} {n}", "x") for n in range(rows)])
    assert mixed_in(files[:1]) == ""
    assert mixed_in(files) == "general.jsonl is 25% of it already"
    assert mixed_in([files[0], tmp_path / "hub"]) == "hub is in it already"
    mix(files[0], files[1], share=0.2, name="both", root=tmp_path / "versions")
    version = tmp_path / "versions" / "both-v1" / "data.jsonl"
    assert mixed_in([version]) == "21% of both-v1 is already"
    data = {"train": [str(file) for file in files]}
    folder = project.runs / "replayed"
    jobs.create(folder, "train", {"model": {"base": "some/base"}, "data": data})
    adapter = folder / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    assert found(project, folder).mixed_in == "general.jsonl is 25% of it already"
