"""What a judge and people say of it, and whether the judge may be trusted. Pure."""

from tuiwb.compare.gate.evidence import Evidence
from tuiwb.compare.gate.line import ALPHA, GateLine, won
from tuiwb.compare.judge.summary import MANIPULATION_LIMIT, manipulated, manipulation_doubt
from tuiwb.compare.stats.counts import sign_test
from tuiwb.project import GateSettings

SHARED = 30  # votes that judge and people must share before their agreement counts
INVALID = 0.05


def judge(evidence: Evidence, settings: GateSettings) -> list[GateLine]:
    if not evidence.judges:
        return []
    parts, trusted, against = [], 0, False
    for judged in evidence.judges:
        summary, human = judged.summary, judged.human
        doubts = list(summary.doubts)
        asked = summary.pairs - summary.identical
        share = summary.invalid / asked if asked else 0.0
        if share > INVALID and not any("invalid" in doubt for doubt in doubts):
            doubts.append(f"{share:.0%} of its pairs are invalid")
        # A summary of before may not hold it against the judge.
        if (doubt := manipulation_doubt(summary)) and doubt not in doubts:
            doubts.append(doubt)
        words = won(summary.preference.counts, summary.preference.p)
        if human is not None and human.kappa is not None and human.n:
            words += f", kappa with people {human.kappa:.2f} on {human.n} pairs"
            if human.n >= SHARED and human.kappa < settings.agreement:
                doubts.append("it does not agree with the people")
        if not doubt and (told := manipulated(summary)):
            words += f", {told}"
        if summary.open:
            doubts.append(f"{summary.open} pairs are not judged")
        if doubts or not summary.trusted:
            words += f"; NOT TRUSTED: {'; '.join(doubts)}"
        else:
            trusted += 1
            counts = summary.preference.counts
            against = against or (counts.losses > counts.wins and summary.preference.p <= ALPHA)
        parts.append(f"{summary.model}: {words}")
    ok = trusted > 0 and not against
    return [
        GateLine(
            name="judge",
            label="judge trusted",
            ok=ok,
            figure=" | ".join(parts),
            threshold=f"controls held, at most {INVALID:.0%} invalid, manipulation in at most "
            f"{MANIPULATION_LIMIT:.0%}, kappa with people at least "
            f"{settings.agreement:g}, base not preferred",
            change=""
            if ok
            else "the judge prefers the base: read where and why"
            if against
            else "judge again with another model or rubric, and vote on 30 pairs to hold it "
            "against people",
        )
    ]


def votes(evidence: Evidence) -> list[GateLine]:
    votes = evidence.votes
    if votes is None:
        return []
    counts = votes.counts
    line = GateLine(
        name="votes",
        label="human votes",
        ok=None,
        figure=f"{votes.hidden} rater{'s' * (votes.hidden > 1)} did not reveal yet",
        threshold=f"the base not preferred, p above {ALPHA}",
        change="finish the vote and reveal it, or list votes under gate.optional in tuiwb.yaml",
    )
    if votes.raters:
        p = sign_test(counts.wins, counts.losses)
        line.ok = not (counts.losses > counts.wins and p <= ALPHA)
        who = "fine-tune" if counts.wins > counts.losses else "base"
        word = f"the {who} is preferred" if p <= ALPHA else "neither side is preferred"
        raters = f"{votes.raters} rater{'s' * (votes.raters > 1)}"
        line.figure = f"{word}, {raters}: {won(counts, p)}"
        line.change = "" if line.ok else "people prefer the base: read their notes"
    return [line]
