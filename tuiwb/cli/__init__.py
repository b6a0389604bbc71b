"""The headless twin of every screen: one module per command group, the same functions as the keys.

In: arguments. Out: text or, with --json, one JSON document on stdout; exit codes 0 fine,
1 findings or a failed gate, 2 bad input, 3 something missing on this machine, 4 the job failed.

Only the table below is read for `tuiwb --help`; a command's module is imported when it is called.
"""

import os
import sys
from typing import Any

import tuiwb
from tuiwb.errors import EXIT_BAD_INPUT, EXIT_FINDINGS, EXIT_FINE, TuiwbError

COMMANDS = {
    "demo": "open the workbench on the embedded sample project, or run its whole flow headless",
    "init": "make a project folder; --sample copies the embedded project",
    "doctor": "what this machine has, what it lacks, and what to do about it",
    "data": "show rows as the model will see them, check a dataset",
    "config": "check a run's config, start a new one",
    "train": "start a training run that outlives this terminal",
    "runs": "list, compare, follow, stop, resume, export the project's runs",
    "watch": "one run on one screen: a job folder, or another trainer's output folder",
    "gpu": "the GPUs and this machine now: memory, use, heat, power, processes",
    "compare": "base against fine-tune on held-out examples",
    "score": "measure a comparison's kept answers again: metrics, schema, regex, slices",
    "vote": "vote blind on a comparison; --status, --reveal, --import",
    "judge": "let an LLM judge a comparison, both orders",
    "eval": "what the fine-tune may have lost: canary set, general ability, benchmarks",
    "gate": "SHIP or NO-SHIP, each line with its number and what would change it",
    "serve": "serve base and adapters through an OpenAI-compatible server",
}

# Two words that are a command of their own, and the module that holds it.
TWO_WORDS = {
    ("compare", "export"): "compare_export",
    ("compare", "list"): "compare_list",
    ("compare", "use"): "compare_use",
}

USAGE = """\
Usage: tuiwb [DIR]              open the workbench on a project folder (default: here)
       tuiwb COMMAND [ARGS]     do one thing without the screen; --json on each

Commands:
{commands}

Options:
  --help      this page; tuiwb COMMAND --help for a command's own
  --version   the version

Exit codes: 0 fine, 1 findings or a failed gate, 2 bad input, 3 something missing here,
4 the job failed.
"""


def run(arguments: list[str]) -> int:
    """Do what `arguments` say; returns the exit code. Never shows a user a traceback of ours."""
    try:
        return _dispatch(arguments)
    except TuiwbError as error:
        from tuiwb.text import inert

        sys.stderr.write(f"error: {inert(str(error))}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FINE
    except OSError as error:
        from tuiwb.text import inert

        where = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"error: {inert(f'{where}{error.strerror or error}')}\n")
        return EXIT_BAD_INPUT


def _dispatch(arguments: list[str]) -> int:
    first = arguments[0] if arguments else ""
    if first in ("--help", "-h", "help"):
        width = max(map(len, COMMANDS))
        lines = (f"  {name:<{width}}  {summary}" for name, summary in COMMANDS.items())
        sys.stdout.write(USAGE.format(commands="\n".join(lines)))
        return EXIT_FINE
    if first in ("--version", "-V"):
        sys.stdout.write(f"tuiwb {tuiwb.__version__}\n")
        return EXIT_FINE
    if first in COMMANDS:
        return _command(first, arguments[1:])
    if len(arguments) > 1 or first.startswith("-") or (first and not os.path.isdir(first)):
        import difflib

        near = difflib.get_close_matches(first, COMMANDS, 1)
        hint = f"did you mean 'tuiwb {near[0]}'?" if near else "tuiwb --help lists the commands"
        sys.stderr.write(f"error: there is no command or folder {first!r}: {hint}\n")
        return EXIT_BAD_INPUT
    from tuiwb.cli.workbench import open_workbench

    return open_workbench(first or ".")


def _command(name: str, arguments: list[str]) -> int:
    import importlib

    holder = name
    if two := TWO_WORDS.get((name, arguments[0] if arguments else "")):
        holder, name, arguments = two, f"{name} {arguments[0]}", arguments[1:]
    module = importlib.import_module(f"tuiwb.cli.{holder}")
    import typer

    try:
        code = module.app(args=arguments, prog_name=f"tuiwb {name}", standalone_mode=False)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    except typer.Abort:
        sys.stderr.write("aborted\n")
        return EXIT_FINDINGS
    except _usage_error() as error:
        return _misused(error, name)
    return code if isinstance(code, int) else EXIT_FINE


def _usage_error() -> type[Exception]:
    import typer

    # What typer raises for a command line that is wrong; it has no public name of its own.
    found: type[Exception] = typer.BadParameter.__mro__[1]
    return found


def _misused(error: Any, name: str) -> int:
    """Say in one sentence what is wrong with the command line; its help where there was none."""
    from tuiwb.text import inert

    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return EXIT_BAD_INPUT
    said = str(error.format_message()).rstrip(".")
    said = said[:1].lower() + said[1:]
    command = error.ctx.command_path if error.ctx is not None else f"tuiwb {name}"
    sys.stderr.write(f"error: {inert(said, one_line=True)}: '{command} --help' says more\n")
    return EXIT_BAD_INPUT
