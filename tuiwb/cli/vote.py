"""`tuiwb vote RUN`: the blind vote in a plain terminal, from a file, or told about in JSON."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

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
from tuiwb.prepared import prepared
from tuiwb.text import inert

app = single()

KEYS = {
    "a": "left", "l": "right", " ": "tie", "t": "tie", "b": "both_bad", "s": "skip",
}  # fmt: skip
ASK = "a left  l right  space tie  b both bad  s skip  u undo  q leave: "


@app.command()
def vote(
    run: RunArgument,
    rater: Annotated[
        str | None,
        typer.Option(help="Who votes (default: TUIWB_RATER, the project's setting, or you)."),
    ] = None,
    sides: SidesOption = None,
    status: Annotated[bool, typer.Option("--status", help="How far every rater is.")] = False,
    reveal: Annotated[
        bool, typer.Option("--reveal", help="Show which side was which, and lock the votes.")
    ] = False,
    review: Annotated[
        bool, typer.Option("--review", help="Where you and the judge disagree, after the reveal.")
    ] = False,
    judge: Annotated[
        str | None, typer.Option(help="With --review: which judge, by its model (default: first).")
    ] = None,
    rule: Annotated[
        list[str] | None,
        typer.Option(help="With --review: PAIR=human, judge, unclear or none; may be repeated."),
    ] = None,
    votes_file: Annotated[
        Path | None,
        typer.Option("--import", help='Votes as lines of {"pair": KEY, "choice": "left"}.'),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Sides and order of a new ballot (default: drawn).")
    ] = None,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Vote blind on a run's answers, one key a pair; every vote is saved at once.

    With --json the ballot as its rater may see it: pairs with left and right text, the choice so
    far; votes of another program come in with --import. Exit codes: 0 fine, 2 bad input.
    """
    from tuiwb.compare.vote.raters import likely_rater, rater_of

    home = project_at(project)
    seen = sides_in_view(home, run, sides)
    if status:
        _status(seen, json)
        return
    name = rater_of(home, rater) or likely_rater()
    from tuiwb.compare.vote.ballot import Ballot

    ballot = Ballot(seen.folder, seen.completions, rater=name, sides=seen.sides, seed=seed)
    if votes_file is not None:
        count = _import(ballot, votes_file)
        note(f"{count} votes of {name} taken from {votes_file}")
    if review or rule or judge is not None:
        from tuiwb.cli.vote_review import review as walk

        walk(seen, ballot, judge, rule or [], json)
    elif reveal:
        if not ballot.voted:
            raise BadInput(f"{name} has no vote on {run} yet: there is nothing to reveal")
        ballot.reveal()
        _say_tally(seen, ballot, json)
    elif json:
        say_json(_state(seen, ballot))
    elif votes_file is None:
        _by_line(seen, ballot)


class Sides:
    """The two sides of a comparison as a ballot takes them."""

    def __init__(self, run: Path, sides: tuple[str, str], completions: list[Any], spec: Any):
        from tuiwb.compare.completions import label_of
        from tuiwb.compare.plan import COMPARE

        self.run, self.sides, self.completions = run, sides, completions
        self.folder = run / COMPARE
        self.labels = (label_of(spec, sides[0]), label_of(spec, sides[1]))
        self.by_id = {c.id: c for c in completions}


def sides_in_view(home: Any, run: str, named: str | None) -> Sides:
    """Two sides of a finished comparison by their names ONE,OTHER; None for those in focus."""
    from tuiwb import jobs
    from tuiwb.compare.completions import paired, read_completions, side_called
    from tuiwb.compare.plan import COMPARE
    from tuiwb.compare.vote.raters import side_pairs
    from tuiwb.compare.vote.records import MAIN_PAIR
    from tuiwb.jobs.folder import load

    folder = home.run(run)
    if not (folder / COMPARE / "job.yaml").is_file():
        raise BadInput(f"run {run} has not been compared yet: run 'tuiwb compare {run}' first")
    if jobs.status(folder / COMPARE).running:
        raise BadInput(f"the comparison of {run} is still running: vote when it is done")
    spec = load(folder / COMPARE).spec
    sides = MAIN_PAIR
    if named is not None:
        both = {side_called(spec, name.strip()) for name in named.split(",")}
        pairs = side_pairs(spec)
        found = next((pair for pair in pairs if set(pair) == both), None)
        if found is None:
            known = "; ".join(",".join(pair) for pair in pairs)
            raise BadInput(
                f"{named[:80]!r} names no two sides of this comparison: give "
                f"{'one of ' * (len(pairs) > 1)}{known}"
            )
        sides = found
    return Sides(folder, sides, paired(read_completions(folder / COMPARE), *sides), spec)


def _state(seen: Sides, ballot: Any) -> dict[str, Any]:
    """The ballot as its rater may see it: never which side is which before the reveal."""
    pairs = []
    for pair in ballot.pairs:
        c = seen.by_id[pair.id]
        texts = {"base": c.base, "adapter": c.adapter}
        other = "base" if pair.left == "adapter" else "adapter"
        pairs.append(
            {
                "pair": pair.key,
                "prompt": c.prompt if c.raw is None else c.raw,
                "left": texts[pair.left],
                "right": texts[other],
                "reference": c.reference,
                "choice": ballot.choice(pair),
                "note": ballot.note(pair.id),
            }
        )
    return {
        "rater": ballot.rater,
        "revealed": ballot.revealed,
        "voted": ballot.voted,
        "pairs": pairs,
        "next": ballot.next_open(),
    }


def _status(seen: Sides, json: bool) -> None:
    from tuiwb.compare.vote.raters import agreements, progress, read_ballots, repeats_in
    from tuiwb.compare.vote.records import votes_name

    ballots = read_ballots(seen.folder, seen.completions, seen.sides)
    rows = [
        {
            "rater": b.rater,
            "voted": b.voted,
            "pairs": len(b.pairs),
            "repeats": sum(pair.repeat for pair in b.pairs),
            "revealed": b.revealed,
        }
        for b in ballots
    ]
    found = agreements(ballots)
    if json:
        path = seen.folder / votes_name(*seen.sides)
        say_json({"file": str(path), "raters": rows, "agreement": found})
        return
    if not rows:
        say("nobody has voted yet")
    for ballot in ballots:
        said = "revealed" if ballot.revealed else "open"
        repeats = f" ({about})" if (about := repeats_in(ballot)) else ""
        say(f"{ballot.rater or 'unnamed'}: {progress(ballot)}, {said}{repeats}")
    _say_agreements(found)


def _say_tally(seen: Sides, ballot: Any, json: bool) -> None:
    from tuiwb.compare.stats.counts import power_sentence, preference
    from tuiwb.compare.vote.raters import agreements, read_ballots

    tally = ballot.tally()
    said = preference(tally.counts, names=seen.labels)
    found = agreements(read_ballots(seen.folder, seen.completions, seen.sides))
    if json:
        names = dict(zip(("base", "adapter"), seen.sides, strict=True))
        won = {key: names.get(who, "tie") for key, who in ballot.winners().items()}
        say_json({"tally": tally, "preference": said, "winners": won, "agreement": found})
        return
    counts = tally.counts
    say(
        f"{seen.labels[1]} won {counts.wins}, lost {counts.losses}, tied {counts.ties} against "
        f"{seen.labels[0]} ({tally.identical} identical, {tally.both_bad} both bad, "
        f"{tally.skipped} skipped, {tally.open} open)"
    )
    say(said.verdict)
    if counts.wins + counts.losses:
        say(power_sentence(counts.wins + counts.losses))
    if tally.repeated:
        say(f"{tally.consistent} of {tally.repeated} repeated pairs got the same answer")
    if tally.not_blind:
        say(f"{tally.not_blind} votes are on pairs read with names before: not blind")
    _say_agreements(found)


def _say_agreements(found: Sequence[Any]) -> None:
    for agreement in found:
        kappa = agreement.kappa
        if kappa.agreement is not None:
            value = "-" if kappa.kappa is None else f"{kappa.kappa:.2f}"
            sure = "" if kappa.reliable else " (unreliable: fewer than 30)"
            say(
                f"{agreement.one} and {agreement.other} agree on {100 * kappa.agreement:.0f}% of "
                f"{kappa.n} shared pairs{sure}, kappa {value}"
            )


def _import(ballot: Any, path: Path) -> int:
    """Votes from a file of JSON lines, all checked before the first is taken."""
    import msgspec

    from tuiwb.compare.vote.records import Vote

    known = {pair.key: pair for pair in ballot.pairs}
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise BadInput(f"{path} can't be read ({error.strerror}): give a file of votes") from None
    taken = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = msgspec.convert({"type": "vote", **msgspec.json.decode(line)}, prepared(Vote))
        except (msgspec.MsgspecError, TypeError, UnicodeDecodeError):
            raise BadInput(
                f"{path}:{number} is no vote ({line.decode('utf-8', 'replace')[:80]}): write "
                '{"pair": KEY, "choice": "left", "right", "tie", "both_bad" or "skip"}'
            ) from None
        if record.rater not in ("", ballot.rater):
            # Left and right are drawn for each rater: theirs would be taken the wrong way round.
            raise BadInput(
                f"{path}:{number} is a vote of {record.rater}, not of {ballot.rater}: give "
                f"--rater {record.rater}, or leave its rater out where left and right are those "
                "of this ballot"
            )
        if record.pair not in known:
            raise BadInput(
                f"{path}:{number}: there is no pair {record.pair!r} in this ballot: "
                "'tuiwb vote RUN --json' lists them"
            )
        taken.append(record)
    for record in taken:
        ballot.vote(known[record.pair], record.choice, record.seconds)
    return len(taken)


def _by_line(seen: Sides, ballot: Any) -> None:
    """Prompt, left, right, one key; in a terminal without enter, from a pipe a line each."""
    import time

    from tuiwb.compare.vote.raters import progress, repeats_in

    if ballot.revealed:
        raise BadInput("these votes were revealed, which locks them: --reveal shows the tally")
    repeats = f" ({about})" if (about := repeats_in(ballot)) else ""
    note(f"{ballot.rater} votes: {progress(ballot)}{repeats}")
    place = ballot.next_open()
    while place is not None:
        pair = ballot.pairs[place]
        _show(seen, ballot, place)
        since = time.monotonic()
        key = _key()
        if key in ("", "q", "\x03", "\x04", "\x1b"):
            break
        if key == "u":
            undone = ballot.undo()
            say("no vote to undo" if undone is None else "undone")
            place = place if undone is None else ballot.pairs.index(undone)
            continue
        choice = KEYS.get(key)
        if choice is None:
            say(f"{key!r} is none of the keys")
            continue
        ballot.vote(pair, choice, time.monotonic() - since)
        place = ballot.next_open(place)
    done = ballot.voted == len(ballot.pairs)
    ahead = "--reveal shows which side was which" if done else "the same command goes on here"
    note(f"{progress(ballot)}: {ahead}")


def _show(seen: Sides, ballot: Any, place: int) -> None:
    pair = ballot.pairs[place]
    c = seen.by_id[pair.id]
    texts = {"base": c.base, "adapter": c.adapter or ""}
    other = "base" if pair.left == "adapter" else "adapter"
    say()
    say(f"--- pair {place + 1} of {len(ballot.pairs)}")
    say(_wrapped(c.prompt_text))
    for name, text in (("LEFT", texts[pair.left]), ("RIGHT", texts[other])):
        say()
        say(f"--- {name}")
        say(_wrapped(text) if text.strip() else "(empty)")
    if c.reference is not None:
        say()
        say("--- REFERENCE")
        say(_wrapped(c.reference))
    say()


def _wrapped(text: str) -> str:
    """The text's lines broken between words where a terminal would break within them."""
    if not sys.stdout.isatty():
        return text
    import os
    import textwrap

    width = os.get_terminal_size(sys.stdout.fileno()).columns or 80
    return "\n".join(
        part
        for line in inert(text).split("\n")
        for part in textwrap.wrap(line, width, break_on_hyphens=False) or [""]
    )


def _key() -> str:
    """One key from a terminal, else the first letter of a line ('' at the end of the input)."""

    def ask() -> None:
        sys.stdout.write(ASK)
        sys.stdout.flush()

    if not sys.stdin.isatty():
        ask()
        return sys.stdin.readline()[:1]
    import os
    import termios
    import tty

    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    try:
        # What was typed before the pair was there is no word on it: it is thrown away.
        tty.setcbreak(fd, termios.TCSAFLUSH)
        ask()
        key = os.read(fd, 64)[:1].decode("ascii", "replace")
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
    sys.stdout.write("\n")
    return key
