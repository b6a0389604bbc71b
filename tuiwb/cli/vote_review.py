"""`tuiwb vote RUN --review`: where a rater and the judge disagree, and rulings on it."""

from collections.abc import Sequence
from typing import Any, get_args

from tuiwb.cli.common import say, say_json
from tuiwb.errors import BadInput


def review(view: Any, ballot: Any, judge: str | None, rules: Sequence[str], json: bool) -> None:
    """Keep the rulings PAIR=human|judge|unclear|none given, then list the disagreements with a
    judge, the first one where none is named.

    BadInput before the reveal, without verdicts, and for a pair that is none of them.
    """
    from tuiwb.compare.judge.review import (
        Review,
        agreed_with,
        chosen_judge,
        disagreements,
        read_judged,
    )

    if not ballot.revealed:
        raise BadInput("your votes are not revealed: --reveal locks and shows them, then review")
    judges = read_judged(view.run, view.completions, view.sides)
    one = chosen_judge(judges, judge)
    if one is None:
        raise BadInput("there are no verdicts to disagree with: 'tuiwb judge RUN' asks a judge")
    decided = ballot.decided()
    items = {d.pair: d for d in disagreements(decided, one.verdicts)}
    agreed = agreed_with(decided, one)
    kept = Review(view.folder, ballot.rater, one.judge)
    for pair, ruling in [_ruling(rule, items) for rule in rules]:
        kept.rule(items[pair], ruling)
    names = {"base": view.labels[0], "adapter": view.labels[1], "tie": "tie"}
    rows = [
        {
            "pair": d.pair,
            "line": view.by_id[d.pair].line,
            "vote": names[d.vote],
            "verdict": names[d.verdict.outcome],
            "note": ballot.note(d.pair),
            "reasons": d.verdict.reasons,
            "ruling": kept.ruling(d),
        }
        for d in items.values()
    ]
    if json:
        told = {"rater": ballot.rater, "judge": kept.judge, "judges": [j.judge for j in judges]}
        say_json({**told, "agreement": agreed, "disagreements": rows})
        return
    others = [j.judge for j in judges if j is not one]
    kappa = "-" if agreed.kappa is None else f"{agreed.kappa:.2f}"
    more = f"; --judge names another: {', '.join(others)}" if others else ""
    say(f"judge {one.judge}: you differ on {len(rows)} of {agreed.n} pairs, kappa {kappa}{more}")
    if not rows:
        say("you and the judge agree wherever both decided")
    for row in rows:
        say(f"{row['pair']}  line {row['line']}: you {row['vote']}, the judge {row['verdict']}")
        for reason in ([f"you noted: {row['note']}"] if row["note"] else []) + row["reasons"]:
            say(f"    {reason}")
        say(f"    right: {row['ruling'] or 'not ruled yet'}")


def _ruling(rule: str, items: dict[str, Any]) -> tuple[str, Any]:
    """A pair and its ruling from PAIR=WHO."""
    from tuiwb.compare.judge.review import Ruling

    pair, _, who = rule.rpartition("=")
    known = (*get_args(Ruling), "none")
    if who not in known:
        raise BadInput(f"{rule!r} is no ruling: write PAIR=WHO with WHO one of {', '.join(known)}")
    if pair not in items:
        raise BadInput(f"there is no disagreement on {pair!r}: --review lists them")
    return pair, None if who == "none" else who
