"""The audit of a check in words: one text for the Data screen and the command line.

In: a report's audit. Out: lines, each a heading, a fact or a warning. Text from the data is the
caller's to make inert.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from tuiwb.text import counted, short_count

BAR = 32
BLOCKS = " ▏▎▍▌▋▊▉█"


class Line(NamedTuple):
    """One line and what it is."""

    text: str
    kind: Literal["head", "fact", "warn"] = "fact"


def audit_lines(audit: Mapping[str, Any]) -> list[Line]:
    """Everything the audit counted, the tokens first: they decide what is learned."""
    parts = (_tokens, _overview, _sizing, _answers, _prompts, _preference, _human)
    return [line for part in parts for line in part(audit)]


def _overview(audit: Mapping[str, Any]) -> Iterator[Line]:
    yield Line("Rows", "head")
    yield Line(f"formats: {_counts(audit['formats'])}")
    yield Line(f"turns: {_counts(audit['turns'])}")
    sizes = audit["characters"]
    yield Line(
        f"characters a row: median {sizes['median']:,}, 95% up to {sizes['p95']:,}, "
        f"longest {sizes['longest']:,}"
    )
    if audit.get("labels"):
        yield Line(f"labels: {_counts(audit['labels'])}")
    for what, spread in (audit.get("lengths") or {}).items():
        if isinstance(spread, Mapping):
            yield Line(
                f"{what}: 5% up to {spread['p5']:,}, median {spread['median']:,}, "
                f"95% up to {spread['p95']:,} characters"
            )
    if (unfinished := (audit.get("lengths") or {}).get("unfinished_share", 0)) > 0.1:
        yield Line(f"{unfinished:.0%} of long answers end amid a sentence", "warn")
    language = audit.get("language") or {}
    if language.get("shares"):
        shares = ", ".join(f"{name} {share:.0%}" for name, share in language["shares"].items())
        yield Line(
            f"languages: {shares} (of {language['sure_texts']:,} sure texts in "
            f"{language['sampled_rows']:,} sampled rows)"
        )


def _sizing(audit: Mapping[str, Any]) -> Iterator[Line]:
    sizing = audit.get("sizing") or {}
    if not sizing:
        return
    yield Line("Size", "head")
    if sizing.get("use"):
        yield Line(f"the chosen use: {sizing['use']}")
    rows = f"{counted(sizing['rows'], 'row')} {'is' if sizing['rows'] == 1 else 'are'}"
    suits = ", ".join(sizing.get("suits") or ())
    if sizing.get("note"):
        yield Line(str(sizing["note"]), "warn")
    else:
        yield Line(f"{rows} enough for: {suits}" if suits else f"{rows} too few for any use")
    for name, words in (("good_share", "marked good"), ("single_turn_share", "of a single turn")):
        if name in sizing:
            yield Line(f"{sizing[name]:.0%} of rows {words}")
    if tools := sizing.get("tools"):
        yield Line(
            f"tools: {tools['rows_that_offer']:,} rows offer {tools['offered']}, "
            f"{tools['rows_that_call']:,} rows call one"
        )
        if tools["never_called"]:
            yield Line(f"offered and never called: {', '.join(tools['never_called'])}", "warn")


def _answers(audit: Mapping[str, Any]) -> Iterator[Line]:
    answers = audit.get("answers") or {}
    if answers.get("forms"):
        yield Line("Answers", "head")
        yield Line(f"forms: {_counts(answers['forms'])}")
    refused = audit.get("refusals") or {}
    for key, words in (("refusal_share", "refuse"), ("boilerplate_share", "speak of being an AI")):
        if refused.get(key):
            yield Line(f"{refused[key]:.1%} of answers {words}")
    if answers.get("pairs_of_two_forms_share"):
        yield Line(f"{answers['pairs_of_two_forms_share']:.0%} of pairs differ in form")


def _prompts(audit: Mapping[str, Any]) -> Iterator[Line]:
    prompts = audit.get("system_prompts") or {}
    if not prompts:
        return
    yield Line("System prompts", "head")
    yield Line(f"{prompts['distinct']:,} distinct, {prompts['without_share']:.0%} of rows without")
    for top in prompts["top"]:
        yield Line(f"{top['rows']:>8,}  {top['text']}")


def _preference(audit: Mapping[str, Any]) -> Iterator[Line]:
    pairs = audit.get("preference") or {}
    if not pairs:
        return
    yield Line("Preference pairs", "head")
    longer = pairs["chosen_longer_share"]
    yield Line(
        f"the chosen answer is the longer one in {longer:.0%} of {pairs['pairs']:,} pairs",
        "warn" if longer > 0.8 else "fact",
    )


def _human(audit: Mapping[str, Any]) -> Iterator[Line]:
    counted = audit.get("human_share") or {}
    if not counted.get("synthetic"):
        return
    share = counted["human_share"]
    yield Line("Origin", "head")
    yield Line(
        f"{share:.0%} human rows ({counted['synthetic']:,} of {counted['rows']:,} synthetic)",
        "warn" if share < 0.2 else "fact",
    )


def _tokens(audit: Mapping[str, Any]) -> Iterator[Line]:
    tokens = audit.get("tokens")
    if not tokens:
        return
    yield Line(f"Tokens of {tokens['model']} at max_length {tokens['max_length']:,}", "head")
    if not tokens["counted"]:
        yield Line("no row could be counted", "warn")
        return
    yield Line(
        f"{tokens['counted']:,} of {tokens['rows']:,} rows tokenized: a sample of "
        f"{tokens['sample']:,}, and every row not proved short by its text"
    )
    yield Line(
        f"tokens a row: median {tokens['median']:,}, 95% up to {tokens['p95']:,}, 99% up to "
        f"{tokens['p99']:,}, longest {tokens['longest']:,}"
    )
    yield Line(
        f"{tokens['trained_share']:.0%} of the tokens are trained",
        "warn" if tokens["trained_share"] < 0.05 else "fact",
    )
    for name, words in (
        ("refused", "rows that the chat template refuses"),
        ("untrained", "rows with no trained token"),
        ("lost", "rows whose trained tokens all lie beyond max_length"),
        ("unstopped", "rows whose last trained token is no token to stop on"),
        ("double_bos", "rows that begin with two BOS tokens"),
    ):
        if tokens[name]["count"]:
            first = ", ".join(map(str, tokens[name]["first"][:5]))
            yield Line(f"{tokens[name]['count']:,} {words} (row {first})", "warn")
    if tokens.get("unread"):
        yield Line(f"{tokens['unread']:,} rows are too big to tokenize here", "warn")
    if tokens["stop_token_trained"] is not None:
        trained = tokens["stop_token_trained"]
        words = "is trained" if trained else "is NOT trained: the model may not learn to stop"
        yield Line(f"the stop token {words}", "fact" if trained else "warn")
    for note in tokens["notes"]:
        yield Line(note, "warn")
    yield from _histogram(tokens)
    yield from _cuts(tokens)


def _histogram(tokens: Mapping[str, Any]) -> Iterator[Line]:
    bins = [(low, high, rows) for low, high, rows in tokens["histogram"]]
    most = max((rows for *_, rows in bins), default=0)
    if not most:
        return
    filled = [i for i, (*_, rows) in enumerate(bins) if rows]
    bins = bins[filled[0] : filled[-1] + 1]
    yield Line("Lengths of the sampled rows", "head")
    for low, high, rows in bins:
        name = f"{low:,}+" if high is None else f"{low:,}-{high - 1:,}"
        beyond = "  beyond max_length" if low >= tokens["max_length"] and rows else ""
        yield Line(f"{name:>13}  {_bar(rows / most):{BAR}} {short_count(rows):>6}{beyond}")


def _cuts(tokens: Mapping[str, Any]) -> Iterator[Line]:
    if not tokens["cuts"]:
        return
    yield Line("What truncation would take", "head")
    yield Line(f"{'max_length':>10}  {'rows cut':>9}  {'tokens':>7}  {'trained':>7}  {'lost':>6}")
    for cut in tokens["cuts"]:
        mark = "  <- this run" if cut["chosen"] else ""
        basis = "" if cut["basis"] == "all" else f"  of {cut['of']:,} sampled rows"
        line = (
            f"{cut['max_length']:>10,}  {cut['rows_cut']:>9,}  {cut['tokens_share']:>7.1%}  "
            f"{cut['trained_share']:>7.1%}  {cut['rows_lost']:>6,}{mark}{basis}"
        )
        yield Line(line, "warn" if cut["chosen"] and cut["rows_cut"] else "fact")


def _bar(share: float) -> str:
    eighths = max(1, round(share * BAR * 8)) if share else 0
    return "█" * (eighths // 8) + BLOCKS[eighths % 8].strip()


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items()) or "none"
