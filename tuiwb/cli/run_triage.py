"""`tuiwb runs triage|fix|tick`: what is wrong with a run, its fix as a config, where to look."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from tuiwb import jobs
from tuiwb.cli.common import JsonOption, ProjectOption, say, say_json
from tuiwb.cli.run_folder import NameArgument, folder_of, project_of
from tuiwb.errors import EXIT_FINDINGS, BadInput
from tuiwb.jobs.events import Alert
from tuiwb.monitor.recovery import KEYS, VERDICTS, Key, Step, standing
from tuiwb.monitor.recovery import steps as recovery_steps
from tuiwb.monitor.recovery import tick as keep_tick
from tuiwb.monitor.triage import after

TICKED = "ticked by you"
STEPS = "where to look, the likeliest cause first:"


def triage(
    context: typer.Context,
    name: NameArgument,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """What is wrong with a run, with fixes and where to look; exit 1 from a warning on."""
    folder = folder_of(project_of(context, project), name)
    steps, alerts = recovery_steps(folder), standing_alerts(folder)
    if json:
        say_json({"alerts": alerts, "recovery": steps})
    else:
        for alert in alerts:
            _say_alert(alert)
        say(STEPS if not alerts else f"\n{STEPS}")
        for step in steps:
            _say_step(step)
    if any(alert.severity != "note" for alert in alerts):
        raise typer.Exit(EXIT_FINDINGS)


def fix(
    context: typer.Context,
    name: NameArgument,
    rule: Annotated[
        str,
        typer.Argument(help="The alert's rule, or a step of the diagnosis.", show_default=False),
    ],
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Write an alert's fix (or a diagnosis step's) into a config of its own, CONFIG-fix-N.yaml."""
    from tuiwb.train.fixes import apply_change, told

    home = project_of(context, project)
    folder = folder_of(home, name)
    offers: dict[str, dict[str, Any]] = {
        step.key: step.change for step in recovery_steps(folder) if step.change
    }
    offers |= {alert.rule: alert.change for alert in standing_alerts(folder) if alert.change}
    if rule not in offers:
        there = f": there are {', '.join(offers)}" if offers else ""
        raise BadInput(f"{name} has no fix for {rule!r}{there}")
    config = Path(str(jobs.load(folder).spec.get("config_file") or ""))
    lines = told(config, offers[rule])
    made = apply_change(config, offers[rule])
    if json:
        say_json({"config": str(made), "change": offers[rule]})
        return
    for line in lines:
        say(line)
    say(f"wrote {home.shorten(made)}: tuiwb train {home.shorten(made)}")


def tick(
    context: typer.Context,
    name: NameArgument,
    step: Annotated[str, typer.Argument(help=f"One of {', '.join(KEYS)}.", show_default=False)],
    undo: Annotated[bool, typer.Option("--undo", help="Take the tick back.")] = False,
    project: ProjectOption = None,
) -> None:
    """Tick a step of a run's diagnosis, once you have looked at it."""
    folder = folder_of(project_of(context, project), name)
    chosen: Key | None = next((key for key in KEYS if key == step), None)
    if chosen is None:
        raise BadInput(f"no step {step!r}: one of {', '.join(KEYS)}")
    keep_tick(folder, chosen, not undo)
    say(f"{chosen}: {'open again' if undo else 'ticked'}")


def standing_alerts(folder: Path) -> list[Alert]:
    """The alerts of a run that still say something, the worst first."""
    order: Any = {"critical": 0, "warning": 1}
    said = standing([*jobs.status(folder).alerts, *after(folder)])
    return sorted(said, key=lambda alert: order.get(alert.severity, 2))


def _say_alert(alert: Alert) -> None:
    say(f"{alert.severity:<9} {alert.rule}: {alert.evidence}")
    for label in ("cause", "fix", "look"):
        if words := getattr(alert, label):
            say(f"          {label}: {words}")
    for key, value in alert.change.items():
        say(f"          change: {key}: {msgspec.json.encode(value).decode()}")
    for place in alert.rows[:5]:
        say(f"          row: {place}")


def _say_step(step: Step) -> None:
    ticked = f" ({TICKED})" if step.ticked is not None else ""
    say(f"{VERDICTS[step.verdict]:<12} {step.key}: {step.title}{ticked}")
    for line in step.evidence:
        say(f"             {line}")
    say(f"             -> {step.action}")
