"""`tuiwb compare list`: the comparisons of a project, those that were set aside too."""

from tuiwb.cli.common import JsonOption, ProjectOption, project_at, say, say_json, say_table, single
from tuiwb.text import ago

app = single()


@app.command(name="list")
def list_comparisons(json: JsonOption = False, project: ProjectOption = None) -> None:
    """Name every comparison: sides, prompts, when, votes, the gate's verdict on its run.

    Each run has one that stands, marked *: the Compare screen, vote, judge and gate look at it, the
    newest run first. Those that other sides or prompts have set aside keep their votes; 'tuiwb
    compare use NAME' puts one back.
    """
    import msgspec

    from tuiwb.compare.listed import comparisons

    found = comparisons(project_at(project))
    if json:
        say_json(msgspec.to_builtins(found))
        return
    if not found:
        say("nothing has been compared yet: 'tuiwb compare RUN' compares a run with its base")
        return
    say_table(
        ("", "name", "sides", "prompts", "answered", "state", "created", "votes", "gate"),
        [
            (
                "*" if one.shown else "",
                one.name,
                " / ".join(one.sides),
                one.prompts,
                f"{one.done}/{one.total}",
                one.state,
                ago(one.created),
                str(one.votes) if one.votes else "-",
                one.verdict or "-",
            )
            for one in found
        ],
    )
