"""Votes and verdicts as preference data: what comparing found out feeds the next run.

In: completions with a winner each, from votes that were revealed, verdicts, or both. Out: rows that
DPO or KTO trains on, each with where it comes from, and a manifest beside the file.
"""

import hashlib
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from tuiwb.compare.completions import Completion
from tuiwb.compare.judge.protocol import PairVerdict
from tuiwb.compare.judge.review import RulingRecord
from tuiwb.compare.vote.ballot import Ballot, Outcome, looks_identical
from tuiwb.compare.vote.raters import majority
from tuiwb.errors import BadInput
from tuiwb.jobs.folder import fingerprint as sha256_of
from tuiwb.project import MANIFEST_SUFFIX

Kind = Literal["dpo", "kto"]
Source = Literal["votes", "verdicts", "both"]
Strength = Literal["slight", "clear"]


class Winner(msgspec.Struct, kw_only=True):
    """Who won a completion and by whose word; `both_bad` where every rater called both bad."""

    outcome: Outcome
    by: Literal["votes", "verdict"]
    who: list[str]
    t: float = 0.0
    strength: Strength | None = None
    both_bad: bool = False


class Manifest(msgspec.Struct, kw_only=True):
    """What an export holds and what it left out, by reason; times are unix seconds."""

    kind: Kind
    source: Source
    min_strength: Strength
    run: str
    sides: tuple[str, str]
    created: float
    completions_sha256: str
    file: str
    sha256: str
    rows: int
    pairs: int
    raters: list[str]
    judge: str
    left_out: dict[str, int]
    held_out: str = ""
    v: int = 1


class Export(msgspec.Struct, kw_only=True):
    """The rows to write and what was left out."""

    rows: list[dict[str, Any]]
    pairs: int
    left_out: dict[str, int]


def winners(
    ballots: Sequence[Ballot],
    verdicts: Mapping[str, PairVerdict],
    rulings: Iterable[RulingRecord] = (),
    *,
    source: Source,
    judge: str = "",
    judged_at: Mapping[str, float] | None = None,
    min_strength: Strength = "slight",
) -> tuple[dict[str, Winner], dict[str, str]]:
    """Who won each completion, and why others have no winner, both by completion id.

    Votes are those of raters that revealed, their majority decides. With 'both' a vote counts for
    more than a verdict, unless a rater ruled in the review that the judge is right (then the
    verdict counts) or that it is unclear (then neither). Verdicts below `min_strength` are left
    out; votes have no strength.
    """
    told = [ballot for ballot in ballots if ballot.revealed]
    voted = _voted(told) if source != "verdicts" else {}
    judged: dict[str, Winner] = {}
    why: dict[str, str] = {}
    if source != "votes":
        judged, why = _judged(verdicts, judge, judged_at or {}, min_strength)
    found = judged | voted
    for key, ruling in (_rulings(rulings, told, judge) if source == "both" else {}).items():
        verdict = verdicts.get(key)
        if key not in voted or verdict is None or ruling.ruling == "human":
            continue
        if (ruling.vote, ruling.verdict) != (voted[key].outcome, verdict.outcome):
            continue  # it was made on another vote or verdict
        del found[key]
        if ruling.ruling == "judge" and key in judged:
            found[key] = judged[key]
        elif ruling.ruling == "unclear":
            why[key] = "ruled unclear"
    return found, {key: reason for key, reason in why.items() if key not in found}


def export(
    completions: Sequence[Completion],
    found: Mapping[str, Winner],
    why: Mapping[str, str],
    kind: Kind,
    *,
    run: str,
    sides: tuple[str, str],
) -> Export:
    """Rows in the order of the prompts: `dpo` a chosen and a rejected answer a pair, `kto` each
    answer with a thumb (both down where both are bad). Ties teach nothing and are left out; so is
    a better answer that is empty or was cut: it would teach to say nothing, or to stop there."""
    left: Counter[str] = Counter()
    rows: list[dict[str, Any]] = []
    pairs = 0
    for c in completions:
        winner = found.get(c.id)
        if looks_identical(c):
            left["identical answers"] += 1
        elif winner is None:
            left[why.get(c.id, "no vote and no verdict")] += 1
        elif made := _rows_of(c, winner, kind, _provenance(c, winner, run, sides)):
            pairs += 1
            rows += made
        else:
            left[
                "tie" if winner.outcome == "tie" else f"the better answer is {_flaw(c, winner)}"
            ] += 1
    return Export(rows=rows, pairs=pairs, left_out=dict(sorted(left.items())))


def write_export(path: Path, made: Export, manifest: Manifest) -> Manifest:
    """Write OUT.jsonl and OUT.manifest.json into a folder that is there; BadInput for another
    ending, and rather than write over either. The manifest comes back with the file's name, hash
    and counts."""
    if path.suffix != ".jsonl":
        raise BadInput(
            f"{path.name[:80]} would hold lines of JSON: give a name that ends in .jsonl"
        )
    if not path.parent.is_dir():
        raise BadInput(f"there is no folder {path.parent}: make it first, or give another name")
    beside = path.with_suffix(MANIFEST_SUFFIX)
    for taken in (path, beside):
        if taken.exists():
            raise BadInput(f"{taken} exists already: give another name, nothing is written over")
    if not made.rows:
        why = ", ".join(f"{reason}: {n}" for reason, n in made.left_out.items()) or "no pairs"
        raise BadInput(f"there is nothing to export ({why}): reveal your votes, or judge first")
    data = b"".join(msgspec.json.encode(row) + b"\n" for row in made.rows)
    _write_new(path, data)
    manifest = msgspec.structs.replace(
        manifest,
        file=path.name,
        sha256=hashlib.sha256(data).hexdigest(),
        rows=len(made.rows),
        pairs=made.pairs,
        left_out=made.left_out,
    )
    _write_new(beside, msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    return manifest


def new_manifest(
    completions_file: Path,
    kind: Kind,
    source: Source,
    *,
    run: str,
    sides: tuple[str, str],
    min_strength: Strength,
    raters: list[str],
    judge: str,
    held_out: str = "",
) -> Manifest:
    """The manifest of an export before its rows are written."""
    return Manifest(
        kind=kind,
        source=source,
        min_strength=min_strength,
        run=run,
        sides=sides,
        created=time.time(),
        completions_sha256=str(sha256_of(completions_file)),
        file="",
        sha256="",
        rows=0,
        pairs=0,
        raters=raters,
        judge=judge,
        left_out={},
        held_out=held_out,
    )


def _voted(told: Sequence[Ballot]) -> dict[str, Winner]:
    found = {}
    for key, who in majority(told).items():
        said = [ballot for ballot in told if key in ballot.winners()]
        found[key] = Winner(
            outcome=who,
            by="votes",
            who=[ballot.rater for ballot in said],
            t=max(ballot.voted_at(key) for ballot in said),
            both_bad=all(key in ballot.both_bad() for ballot in said),
        )
    return found


def _judged(
    verdicts: Mapping[str, PairVerdict], judge: str, times: Mapping[str, float], least: Strength
) -> tuple[dict[str, Winner], dict[str, str]]:
    found: dict[str, Winner] = {}
    why: dict[str, str] = {}
    for key, pair in verdicts.items():
        if pair.outcome == "invalid":
            why[key] = "invalid verdict"
        elif least == "clear" and pair.outcome != "tie" and not pair.clear:
            why[key] = "verdict too weak"
        else:
            found[key] = Winner(
                outcome=pair.outcome,
                by="verdict",
                who=[judge],
                t=times.get(key, 0.0),
                strength="clear" if pair.clear else "slight",
            )
    return found, why


def _rulings(
    rulings: Iterable[RulingRecord], told: Sequence[Ballot], judge: str
) -> dict[str, RulingRecord]:
    """The last ruling on each pair by a rater that revealed, on this judge; one that its rater took
    back counts for nothing."""
    raters = {ballot.rater for ballot in told}
    last: dict[tuple[str, str], RulingRecord] = {}
    for record in rulings:
        if record.rater in raters and record.judge == judge:
            last.pop((record.pair, record.rater), None)
            last[record.pair, record.rater] = record
    return {record.pair: record for record in last.values() if record.ruling is not None}


def _rows_of(
    c: Completion, winner: Winner, kind: Kind, provenance: dict[str, Any]
) -> list[dict[str, Any]]:
    adapter = c.adapter or ""
    if winner.outcome == "tie":
        if kind == "kto" and winner.both_bad:
            texts = [text for text in dict.fromkeys((c.base, adapter)) if text.strip()]
            return [_thumb(c, text, False, provenance) for text in texts]
        return []
    good, bad = (adapter, c.base) if winner.outcome == "adapter" else (c.base, adapter)
    flawed = bool(_flaw(c, winner))
    if kind == "kto":
        return [
            _thumb(c, text, label, provenance)
            for text, label in ((good, True), (bad, False))
            if text.strip() and not (label and flawed)
        ]
    if flawed:
        return []
    row = {"prompt": _prompt(c), "chosen": _answer(c, good), "rejected": _answer(c, bad)}
    return [{**row, "provenance": provenance}]


def _flaw(c: Completion, winner: Winner) -> str:
    """Why the winner's text teaches nothing good: empty, or cut at the length limit; else ''."""
    won = winner.outcome == "adapter"
    text, stop = (c.adapter or "", c.adapter_stop) if won else (c.base, c.base_stop)
    return "empty" if not text.strip() else "cut" if stop == "length" else ""


def _thumb(c: Completion, text: str, label: bool, provenance: dict[str, Any]) -> dict[str, Any]:
    row = {"prompt": _prompt(c), "completion": _answer(c, text), "label": label}
    return {**row, "provenance": provenance}


def _prompt(c: Completion) -> Any:
    return c.raw if c.raw is not None else c.prompt


def _answer(c: Completion, text: str) -> Any:
    return text if c.raw is not None else [{"role": "assistant", "content": text}]


def _provenance(c: Completion, winner: Winner, run: str, sides: tuple[str, str]) -> dict[str, Any]:
    names = {"base": sides[0], "adapter": sides[1], "tie": "tie"}
    return {
        "run": run,
        "prompt_id": c.id,
        "line": c.line,
        "winner": names[winner.outcome],
        "by": winner.by,
        "who": winner.who,
        "t": winner.t,
        **({"strength": winner.strength} if winner.strength else {}),
        "texts_sha256": {
            sides[0]: hashlib.sha256(c.base.encode()).hexdigest(),
            sides[1]: hashlib.sha256((c.adapter or "").encode()).hexdigest(),
        },
    }


def _write_new(path: Path, data: bytes) -> None:
    """The whole file or none; an existing one is never written over."""
    try:
        file = path.open("xb")
    except FileExistsError:
        raise BadInput(f"{path} exists already: give another name") from None
    try:
        with file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink(missing_ok=True)
        raise
