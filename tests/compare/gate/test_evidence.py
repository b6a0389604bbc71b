"""What the gate takes into account: only what is about these very answers, adapter and sides."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.compare.builders import chat, make_run, write_rows
from tuiwb import jobs
from tuiwb.compare.completions import COMPLETIONS, SUMMARY, Completion, summarise
from tuiwb.compare.evaluation import plan as evaluating
from tuiwb.compare.gate.evidence import Evidence, gather
from tuiwb.compare.gate.replay import further_files, mixed_in
from tuiwb.compare.go_on import go_on
from tuiwb.compare.vote.ballot import Ballot
from tuiwb.data.clean import Cleaning, clean
from tuiwb.data.manifest import DATA, TRAIN
from tuiwb.data.mix import mix
from tuiwb.data.split import split
from tuiwb.errors import BadInput
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


def words_of(start: int, count: int) -> list[dict[str, Any]]:
    """Chats of which none repeats another."""
    letters = [f"w{n}" for n in range(start * 16, (start + count) * 16)]
    rows = (letters[n * 16 : n * 16 + 16] for n in range(count))
    return [chat(" ".join(row[:8]), " ".join(row[8:])) for row in rows]


def test_what_a_version_holds_of_general_rows_is_told_also_after_a_split_or_a_cleaning(
    tmp_path,
):
    versions = tmp_path / "versions"
    own = write_rows(tmp_path / "own.jsonl", words_of(0, 80))
    general = write_rows(tmp_path / "general.jsonl", words_of(100, 20))
    alone = split(own, share=0.1, name="alone", root=versions)
    assert mixed_in([Path(f"{alone.folder}/{TRAIN}")]) == ""
    both = Path(f"{mix(own, general, share=0.2, name='both', root=versions).folder}/{DATA}")
    assert mixed_in([both]) == "20% of both-v1 is general already"
    parts = Path(f"{split(both, share=0.05, name='parts', root=versions).folder}/{TRAIN}")
    assert mixed_in([parts]) == "about 20% of parts-v1 is general already"
    cleaning = Cleaning(drop_exact=True)
    tidy = Path(f"{clean(both, cleaning, name='tidy', root=versions).folder}/{DATA}")
    assert mixed_in([tidy, own]) == "about 20% of tidy-v1 is general already"
    assert further_files([own, tidy]) == "56% of the rows are from tidy-v1/data.jsonl"


def test_a_further_file_is_told_by_its_share_and_not_called_general(project, tmp_path):
    files = [tmp_path / "own.jsonl", tmp_path / "raw.jsonl"]
    for file, rows in zip(files, (15, 5), strict=True):
        write_rows(file, [chat(f"{file.stem} {n}", "x") for n in range(rows)])
    assert (mixed_in(files), further_files(files[:1])) == ("", "")
    assert further_files(files) == "25% of the rows are from raw.jsonl"
    assert further_files([files[0], tmp_path / "hub"]) == "it has rows of hub too"
    evidence = found(project, trained(project, {"train": [str(file) for file in files]}))
    assert evidence.further_files == "25% of the rows are from raw.jsonl"


@pytest.mark.parametrize("data", [{"train": 3}, {"train": [1, ["x"]], "heldout": 5}, [1], None])
def test_a_job_file_with_odd_training_files_is_read_without_them(project, data):
    run = trained(project, data)
    evidence = found(project, run)
    assert (evidence.mixed_in, evidence.further_files) == ("", "")
    assert evidence.compare_command == "tuiwb compare odd --prompts FILE"
    with pytest.raises(BadInput, match="has no held-out file"):
        go_on(project, "odd", lambda _: None)
    wanted = evaluating.plan_missing(project, "odd")
    assert (wanted["train"], wanted["heldout"]) == ([], None)


def test_a_job_file_whose_model_is_no_section_is_said_to_name_no_base(project):
    run = trained(project, {}, model=[1])
    assert found(project, run).base_found is False
    with pytest.raises(BadInput, match="names no base model"):
        go_on(project, "odd", lambda _: None)
    with pytest.raises(BadInput, match="names no base model"):
        evaluating.plan_missing(project, "odd")


def trained(project: Project, data: Any, model: Any = None) -> Path:
    """A run with an adapter whose job file says `data`."""
    folder = project.runs / "odd"
    jobs.create(folder, "train", {"model": model or {"base": "some/base"}, "data": data})
    (folder / "adapter").mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (folder / "adapter" / name).write_text("{}")
    return folder
