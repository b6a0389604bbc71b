"""`tuiwb compare export RUN`: votes and verdicts as preference data for the next run."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from tuiwb.cli.common import (
    JsonOption,
    ProjectOption,
    RunArgument,
    SidesOption,
    note,
    project_at,
    say,
    say_json,
    single,
)
from tuiwb.errors import BadInput

app = single()


@app.command()
def export(
    run: RunArgument,
    dpo: Annotated[
        Path | None, typer.Option(help="Write pairs of a chosen and a rejected answer here.")
    ] = None,
    kto: Annotated[
        Path | None, typer.Option(help="Write answers with a thumb up or down here.")
    ] = None,
    source: Annotated[
        Literal["votes", "verdicts", "both"],
        typer.Option("--from", help="Whose word decides; with both, a vote before a verdict."),
    ] = "both",
    min_strength: Annotated[
        Literal["slight", "clear"], typer.Option(help="The weakest verdict to take.")
    ] = "slight",
    sides: SidesOption = None,
    judge: Annotated[
        str | None, typer.Option(help="Whose verdicts, by the judge's model (default: the first).")
    ] = None,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Turn what was decided on a comparison into data to train on, with where each row comes from.

    Votes count once their rater has revealed, and more than a verdict; rulings of the review are
    followed. Ties teach nothing. Nothing is written over. Exit codes: 0 fine, 2 bad input.
    """
    if (dpo is None) == (kto is None):
        raise BadInput("give --dpo OUT.jsonl or --kto OUT.jsonl, one of them")
    from tuiwb.cli.vote import sides_in_view
    from tuiwb.compare.completions import COMPLETIONS
    from tuiwb.compare.judge.review import chosen_judge, read_judged, read_rulings
    from tuiwb.compare.judge.summary import read_judge_summary
    from tuiwb.compare.preference_data import (
        export as export_rows,
    )
    from tuiwb.compare.preference_data import (
        new_manifest,
        winners,
        write_export,
    )
    from tuiwb.compare.vote.raters import read_ballots
    from tuiwb.jobs.folder import load

    home = project_at(project)
    view = sides_in_view(home, run, sides)
    ballots = read_ballots(view.folder, view.completions, view.sides)
    one = chosen_judge(read_judged(view.run, view.completions, view.sides), judge)
    summary = read_judge_summary(one.folder) if one is not None else None
    if summary is not None and not summary.trusted and source != "votes":
        doubts = "; ".join(summary.doubts)
        note(f"the judge is not trusted ({doubts}): --from votes leaves it out")
    name = one.judge if one is not None else ""
    found, why = winners(
        ballots,
        one.verdicts if one is not None else {},
        read_rulings(view.folder),
        source=source,
        judge=name,
        judged_at=one.times if one is not None else {},
        min_strength=min_strength,
    )
    kind: Literal["dpo", "kto"] = "dpo" if dpo is not None else "kto"
    made = export_rows(view.completions, found, why, kind, run=run, sides=view.sides)
    for ballot in ballots:
        if ballot.voted and not ballot.revealed and source != "verdicts":
            note(f"votes of {ballot.rater or 'unnamed'} are left out: they are not revealed yet")
    manifest = write_export(
        (dpo or kto or Path()).absolute(),
        made,
        new_manifest(
            view.folder / COMPLETIONS,
            kind,
            source,
            run=run,
            sides=view.sides,
            min_strength=min_strength,
            raters=sorted({name for w in found.values() if w.by == "votes" for name in w.who}),
            judge=name if any(w.by == "verdict" for w in found.values()) else "",
            held_out=home.shorten(Path(load(view.folder).spec.get("prompts") or "")),
        ),
    )
    if json:
        say_json(manifest)
        return
    out = home.shorten((dpo or kto or Path()).absolute())
    say(f"{manifest.rows} rows of {manifest.pairs} pairs in {out}")
    for reason, count in manifest.left_out.items():
        say(f"left out ({reason}): {count}")
    say(
        "these prompts were held out: once a run has trained on them, compare it on others "
        f"('tuiwb data check {out}' finds what leaks)"
    )
