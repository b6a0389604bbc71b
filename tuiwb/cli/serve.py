"""`tuiwb serve RUN ...`: start a server; list, stop, chat, load and unload adapters."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from tuiwb.cli.common import (
    JsonOption,
    ProjectOption,
    group,
    note,
    project_at,
    say,
    say_json,
    there,
)
from tuiwb.cli.common import say_table as table
from tuiwb.errors import EXIT_FINE, EXIT_JOB_FAILED, BadInput
from tuiwb.jobs.folder import JOB
from tuiwb.jobs.folder import load as load_job
from tuiwb.text import ago, inert, short_seconds

if TYPE_CHECKING:
    from tuiwb.project import Project

HELP = (
    "Serve base and adapters through an OpenAI-compatible server that outlives this terminal. "
    "'tuiwb serve RUN ...' is short for 'tuiwb serve start RUN ...'."
)


class _StartByDefault(TyperGroup):
    """What is no subcommand belongs to `start`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = ["start", *args]
        return super().parse_args(ctx, args)


app = group(HELP)
app.info.cls = _StartByDefault

NameArgument = Annotated[
    str | None, typer.Argument(help="The server (default: the one that is up).", show_default=False)
]
ServerOption = Annotated[
    str | None, typer.Option("--server", help="The server (default: the one that is up).")
]


@app.command()
def start(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            help="Runs whose adapters to serve, RUN:checkpoint-100, or adapter folders.",
            show_default=False,
        ),
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="Base model (default: the runs' own, else the project's).")
    ] = None,
    engine: Annotated[
        str | None, typer.Option(help="vllm or builtin (default: vllm where it is found).")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; other than loopback wants TUIWB_API_KEY.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(help="Port (default: the first free one from 8000).")
    ] = None,
    max_model_len: Annotated[
        int | None, typer.Option(help="Most tokens of prompt and answer together.", min=16)
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Don't wait until it is ready.")
    ] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Watch it until it ends.")] = False,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Start a server, detached, and wait until it answers.

    Exit codes: 0 ready, 2 bad input, 3 something missing here, 4 it did not come up.
    """
    from tuiwb.serve import plan as planning
    from tuiwb.serve.servers import server_at, wait_ready

    home = project_at(project)
    spec = planning.plan(
        home,
        runs or [],
        base=base,
        engine=engine,
        host=host,
        port=port,
        max_model_len=max_model_len,
    )
    folder = planning.start(home, spec)
    if not json:
        engine_words = "vLLM" if spec.engine == "vllm" else "the built-in engine"
        say(f"started {folder.name} on {engine_words}: {home.shorten(folder)}")
        for warning in spec.warnings:
            note(f"warning: {warning}")
    if follow:
        from tuiwb.cli.follow import follow as watch

        raise typer.Exit(watch(folder, json=json))
    server = server_at(folder) if detach else wait_ready(folder)
    if json:
        say_json(server.as_json())
        raise typer.Exit(EXIT_FINE)
    if detach:
        say(f"watch it:  tuiwb runs follow {folder.name}{there(folder)}")
        raise typer.Exit(EXIT_FINE)
    say(f"ready at {server.spec.url}/v1 with:")
    for model in server.models:
        say(f"  {model.id}" + ("" if model.parent else "  (base)"))
    for alert in server.state.alerts:
        note(f"warning: {alert.evidence}")
    say(f"chat:      tuiwb serve chat {folder.name} 'Hello'")
    say(f"stop it:   tuiwb serve stop {folder.name}")


@app.command("list")
def list_servers(json: JsonOption = False, project: ProjectOption = None) -> None:
    """Every server of the project, newest first."""
    from tuiwb.serve.servers import servers

    found = servers(project_at(project))
    if json:
        say_json([server.as_json() for server in found])
        return
    if not found:
        say("no server yet: tuiwb serve start RUN starts one")
        return
    rows = []
    for server in found:
        state = server.state
        if state.running and state.started:
            when = f"up {ago(state.started).removesuffix(' ago')}"
        elif state.started and state.ended:
            when = f"ran {short_seconds(state.ended - state.started)}"
        else:
            when = ""
        adapters = [m.id for m in server.models if m.parent]
        phase = state.phase if state.running and state.phase else state.word
        rows.append(
            [
                server.folder.name,
                phase,
                server.spec.engine,
                server.spec.url,
                when,
                ", ".join([server.spec.base_name, *adapters]),
            ]
        )
    table(("name", "state", "engine", "url", "time", "models"), rows)


@app.command()
def stop(
    name: NameArgument = None, json: JsonOption = False, project: ProjectOption = None
) -> None:
    """Stop a server and wait until its port is free."""
    from tuiwb.serve.servers import find
    from tuiwb.serve.servers import stop as end

    server = find(project_at(project), name)
    was_up = server.state.running
    state = end(server)
    if json:
        say_json({"name": server.folder.name, "state": state.state, "was_up": was_up})
    else:
        words = "stopped" if was_up else f"had ended already ({state.word})"
        say(f"{server.folder.name} {words}")
    raise typer.Exit(EXIT_FINE if state.state in ("finished", "cancelled") else EXIT_JOB_FAILED)


@app.command()
def chat(
    words: Annotated[
        list[str],
        typer.Argument(
            help="[NAME] TEXT: the server, if several are up, and what to say ('-' reads stdin).",
            metavar="[NAME] TEXT",
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(help="Model: 'base', a run, or a whole name (default: the first adapter)."),
    ] = None,
    system: Annotated[str | None, typer.Option(help="A system message.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Most tokens of the answer.")] = None,
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 0.0,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Say one thing to a model and stream its answer."""
    from tuiwb.serve.servers import check_sound, find, match_model

    if len(words) > 2:
        raise BadInput("give at most a server's name and one text: put the text in quotes")
    home = project_at(project)
    name, text = (words[0], words[1]) if len(words) == 2 else (None, words[0])
    _check_words(home, name or text, alone=name is None)
    server = find(home, name)
    if not server.ready:
        raise BadInput(f"{server.folder.name} is not up ({server.state.word}): start it first")
    client = server.client()
    chosen = match_model(client.models(), model)
    check_sound(chosen)
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": sys.stdin.read() if text == "-" else text})
    options: dict[str, Any] = {"temperature": temperature}
    if max_tokens is not None:
        options["max_tokens"] = max_tokens
    answer, finish, usage = "", None, {}
    for delta in client.chat(chosen.id, messages, **options):
        answer += delta.text
        finish = delta.finish_reason or finish
        if delta.completion_tokens is not None:
            usage = {
                "prompt_tokens": delta.prompt_tokens,
                "completion_tokens": delta.completion_tokens,
            }
        if not json and delta.text:
            sys.stdout.write(inert(delta.text))
            sys.stdout.flush()
    if json:
        say_json({"model": chosen.id, "text": answer, "finish_reason": finish, **usage})
    else:
        say()
        if finish == "length":
            note("the answer was cut at its limit of tokens")


def _check_words(home: "Project", first: str, *, alone: bool) -> None:
    """BadInput where a name stands for a text, or a run's for a server's, which is a slip."""
    job = home.runs / first / JOB
    if not first or Path(first).name != first or not job.is_file():
        return
    if load_job(job.parent).kind != "serve":
        raise BadInput(
            f"{first} is a run, not a server or a text: 'tuiwb serve chat --model {first} TEXT' "
            "asks it where a server has it loaded"
        )
    if alone:
        raise BadInput(
            f"{first} is a server, and nothing is said to it: 'tuiwb serve chat {first} TEXT'"
        )


@app.command()
def load(
    run: Annotated[str, typer.Argument(help="The run (or adapter folder) to load.")],
    server: ServerOption = None,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Load a run's adapter into a running server."""
    from tuiwb.serve.servers import find, load_run

    home = project_at(project)
    served = load_run(home, find(home, server), run)
    if json:
        say_json(served)
    else:
        say(f"loaded {served.id}")


@app.command()
def unload(
    model: Annotated[str, typer.Argument(help="The adapter: its run or its whole name.")],
    server: ServerOption = None,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Let a running server forget an adapter."""
    from tuiwb.serve.servers import find, match_model

    found = find(project_at(project), server)
    client = found.client()
    chosen = match_model(client.models(), model)
    if chosen.parent is None:
        raise BadInput(f"{chosen.id} is the base: only adapters can be unloaded")
    client.unload_adapter(chosen.id)
    if json:
        say_json({"unloaded": chosen.id})
    else:
        say(f"unloaded {chosen.id}")
