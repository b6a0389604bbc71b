"""A version in words: what came out, what was left out. Pure."""

from tuiwb.data.manifest import DROPPED, Operation, Version
from tuiwb.text import counted


def files_words(files: dict[str, int]) -> str:
    """Rows by file: "181 rows in train.jsonl, 19 rows in heldout.jsonl"."""
    return ", ".join(f"{counted(rows, 'row')} in {name}" for name, rows in files.items())


def version_words(version: Version) -> str:
    """What a version holds, and how many rows were left out of it or changed, in one sentence."""
    written = {o.file: o.rows for o in version.outputs if o.file != DROPPED}
    words = [files_words(written)]
    if version.dropped:
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in version.dropped.items())
        words.append(f"{counted(sum(version.dropped.values()), 'row')} left out: {reasons}")
    changed = [f"{n:,} by {operation.op}" for operation in version.operations
               if (n := operation.counts.get("changed"))]  # fmt: skip
    words += [f"changed: {', '.join(changed)}"] if changed else []
    general = next((o.counts["general"] for o in version.operations if "general" in o.counts), None)
    words += [f"{general:,} of them general"] if general is not None else []
    return "; ".join(words)


def operation_words(operation: Operation) -> str:
    """What one operation did: rows in and out, dropped by reason, changed."""
    counts = operation.counts
    words = [f"{counts['in']:,} in, {counts['out']:,} out"]
    words += [f"{n:,} {reason} dropped" for reason, n in counts["dropped"].items()]
    words += [f"{counts['changed']:,} changed"] if counts["changed"] else []
    spans = counts.get("spans") or {}
    words += [", ".join(f"{n:,} {kind}" for kind, n in spans.items())] if spans else []
    for name in ("train", "heldout", "own", "general"):
        words += [f"{counts[name]:,} {name}"] if name in counts else []
    words += [f"share {counts['share']:.1%}"] if "share" in counts else []
    return ", ".join(words)
