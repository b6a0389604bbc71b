"""`tuiwb demo`: the workbench on a copy of the sample project, or its whole flow headless."""

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from tuiwb.cli.common import JsonOption, note, say, say_json, single
from tuiwb.errors import EXIT_FINDINGS, EXIT_FINE, JobFailed
from tuiwb.project import SETTINGS, Project, copy_sample
from tuiwb.text import inert, short_seconds

app = single()

CONFIG = "configs/support-lora.yaml"
RAW, HELD_OUT = "data/support_raw.jsonl", "data/heldout.jsonl"

# What the sample's model was built to show, out of 50 held-out prompts.
MOST_SECONDS, BASE_VALID, TUNED_VALID, TUNED_RIGHT = 180, 0, 48, 35


class Figures(msgspec.Struct, kw_only=True):
    """What the headless demo measured. `missed` are the figures that fell short of what the sample
    was made to show; `slow` says that the machine took long, which is nobody's fault."""

    project: str
    run: str
    findings: dict[str, int]
    train_seconds: float
    steps: int
    final_loss: float | None
    heldout_loss: float | None
    prompts: int
    base_valid_json: int
    tuned_valid_json: int
    tuned_all_fields: int
    tuned_exact: int
    compare_seconds: float
    served: dict[str, str]
    slow: str = ""
    missed: list[str] = []


@app.command()
def demo(
    folder: Annotated[
        Path, typer.Option("--dir", help="Where the copy of the sample project lies.")
    ] = Path("tuiwb-demo"),
    headless: Annotated[
        bool, typer.Option("--headless", help="Run the flow without the screen and report.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Open the workbench on the sample project; without a terminal, run its flow and report.

    Exit codes: 0 fine (a slow machine is told, and is fine too), 1 the flow ran but what the
    fine-tune learned fell short, 3 something missing here, 4 a job failed.
    """
    project = Project(folder) if (folder / SETTINGS).is_file() else copy_sample(folder)
    if not headless and not as_json and sys.stdin.isatty() and sys.stdout.isatty():
        from tuiwb.cli.workbench import open_project

        raise typer.Exit(open_project(project))
    figures = run_flow(project)
    if as_json:
        say_json(figures)
    else:
        for line in report(figures):
            say(line)
    raise typer.Exit(exit_code(figures))


def run_flow(project: Project) -> Figures:
    """Check, train, compare and serve the sample, each through its own public function."""
    findings = _check(project)
    run, train = _train(project)
    compare = _compare(project, run)
    served = _serve(project, run)
    return judged(
        Figures(
            project=str(project.root), run=run, findings=findings, served=served, **train, **compare
        )
    )


def judged(figures: Figures) -> Figures:
    """The same figures with what of them fell short, and whether the machine was slow."""
    bounds = (
        (figures.base_valid_json <= BASE_VALID, "the base answered in valid JSON"),
        (figures.tuned_valid_json >= TUNED_VALID, f"valid JSON on fewer than {TUNED_VALID}"),
        (figures.tuned_all_fields >= TUNED_RIGHT, f"all fields on fewer than {TUNED_RIGHT}"),
    )
    slow = (
        f"training took {short_seconds(figures.train_seconds)}, more than the "
        f"{short_seconds(MOST_SECONDS)} of two free cores: this machine is slow, or busy"
    )
    return msgspec.structs.replace(
        figures,
        missed=[words for holds, words in bounds if not holds],
        slow=slow if figures.train_seconds > MOST_SECONDS else "",
    )


def exit_code(figures: Figures) -> int:
    """1 where what the fine-tune learned fell short; a slow machine is fine."""
    return EXIT_FINDINGS if figures.missed else EXIT_FINE


def report(figures: Figures) -> list[str]:
    """The figures in words, for the end of a headless demo."""
    found = ", ".join(f"{n} {name}" for name, n in sorted(figures.findings.items()))
    n = figures.prompts
    loss, held_out = (
        "not logged" if value is None else f"{value:.3f}"
        for value in (figures.final_loss, figures.heldout_loss)
    )
    lines = [
        "",
        f"tuiwb demo: {figures.run} in {figures.project}",
        "",
        f"  data      {RAW}: {found}",
        f"  train     {figures.steps} steps in {short_seconds(figures.train_seconds)}, "
        f"loss {loss}, held-out {held_out}",
        f"  compare   {n} held-out prompts in {short_seconds(figures.compare_seconds)}",
        f"              base        valid JSON {figures.base_valid_json}/{n}",
        f"              fine-tune   valid JSON {figures.tuned_valid_json}/{n}, "
        f"all fields right {figures.tuned_all_fields}/{n}, exact {figures.tuned_exact}/{n}",
        *(f"  serve     {name}: {text}" for name, text in figures.served.items()),
        "",
    ]
    if figures.slow:
        lines.append(f"  {figures.slow}")
    if figures.missed:
        lines.append(f"  fell short: {'; '.join(figures.missed)}")
    else:
        lines.append(f"  all figures hold; tuiwb {figures.project} opens the workbench on it")
    return lines


def _check(project: Project) -> dict[str, int]:
    from tuiwb.data.checks import check_dataset

    note(f"data: checking {RAW} against {HELD_OUT}")
    result = check_dataset(project.root / RAW, project.root / HELD_OUT)
    counts: dict[str, int] = {}
    for finding in result.findings:
        counts[finding.check] = counts.get(finding.check, 0) + 1
    return counts


def _train(project: Project) -> tuple[str, dict[str, Any]]:
    from tuiwb.train.start import start

    folder = start(project, project.root / CONFIG)
    note(f"train: {folder.name}, about two minutes on two cores")
    state = _finish(folder)
    return folder.name, {
        "train_seconds": round((state.ended or 0) - (state.started or 0), 1),
        "steps": state.step,
        "final_loss": state.metrics.get("loss"),
        "heldout_loss": state.metrics.get("eval_loss"),
    }


def _compare(project: Project, run: str) -> dict[str, Any]:
    from tuiwb.compare.completions import read_summary
    from tuiwb.compare.plan import plan, start

    note("compare: base and fine-tune on the held-out prompts")
    began = time.monotonic()
    folder = start(project, plan(project, run, limit=50))
    _finish(folder)
    summary = read_summary(folder)
    if summary is None:
        raise JobFailed(f"{folder} holds no summary: see its worker.log")
    valid, fields, exact = (summary.metric(m) for m in ("json_valid", "all_fields", "exact_match"))
    return {
        "prompts": summary.done,
        "base_valid_json": valid.base_right if valid else 0,
        "tuned_valid_json": (valid.adapter_right or 0) if valid else 0,
        "tuned_all_fields": (fields.adapter_right or 0) if fields else 0,
        "tuned_exact": (exact.adapter_right or 0) if exact else 0,
        "compare_seconds": round(time.monotonic() - began, 1),
    }


def _serve(project: Project, run: str) -> dict[str, str]:
    from tuiwb.data.read import open_dataset
    from tuiwb.serve.plan import plan, start
    from tuiwb.serve.servers import server_at, stop, wait_ready

    spec = plan(project, [run], engine="builtin")
    row = open_dataset(project.root / HELD_OUT).row(0)
    question = [{"role": m.role, "content": m.content} for m in (row.messages or [])[:-1]]
    folder = start(project, spec)
    try:
        server = wait_ready(folder)
        note(f"serve: {server.spec.url}")
        client = server.client()
        answers = {
            model.id: inert(
                client.complete(model.id, question, max_tokens=96, temperature=0).text,
                one_line=True,
            )
            for model in client.models()
        }
    finally:
        stop(server_at(folder))
    return answers


def _finish(folder: Path) -> Any:
    from tuiwb.jobs.follow import Follower

    follower = Follower(folder)
    said = 0.0
    while True:
        follower.poll()
        state = follower.state
        if not state.running:
            break
        if time.monotonic() - said > 10:
            said = time.monotonic()
            share = f" {state.at_step}/{state.of_steps}" if state.of_steps else ""
            note(f"  {state.phase or state.state}{share}")
        time.sleep(0.2)
    if state.state != "finished":
        raise JobFailed(f"{folder.name} {state.state}: {state.message or 'see its worker.log'}")
    return state
