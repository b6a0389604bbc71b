"""How likely each side thinks the reference is, token by token: shaded, the worst ones named."""

import math
from collections.abc import Iterator, Sequence

from textual.content import Content

from tuiwb.compare.completions import TokenProbabilities
from tuiwb.text import inert

MUTED = "$foreground 60%"
# From the least likely on: below this probability, this look. Weight and lines carry the meaning,
# colours only repeat it.
LOOKS = (
    (0.01, "bold reverse $text-error"),
    (0.1, "bold underline $text-error"),
    (0.5, "underline $text-warning"),
    (math.inf, ""),
)
WORST = 5
SHOWN = 4000


def token_content(found: TokenProbabilities, labels: tuple[str, str]) -> Content:
    """The reference as both sides see it, and the tokens each finds least likely."""
    parts: list[Content] = [_legend()]
    for label, own, other, other_label in (
        (labels[0], found.base, found.adapter, labels[1]),
        (labels[1], found.adapter, found.base, labels[0]),
    ):
        if not own:
            continue
        nll = -math.fsum(own) / len(own)
        head = f"{inert(label, one_line=True)}  "
        figures = f"perplexity {_short(math.exp(min(nll, 700.0)))} over {len(own)} tokens"
        parts += [
            Content.assemble("\n", (head, "bold $text-accent"), (figures, MUTED)),
            _shaded(found.tokens, own),
            _worst(found.tokens, own, other, other_label),
        ]
    return Content("\n").join(parts)


def _legend() -> Content:
    pieces: list[Content] = []
    for (bound, look), words in zip(
        LOOKS, ("below 1%", "below 10%", "below 50%", "likely"), strict=True
    ):
        pieces.append(Content.styled(words, look if bound != math.inf else ""))
    return Content.assemble(("each token's probability: ", MUTED), Content("  ").join(pieces))


def look_of(logprob: float) -> str:
    """The style of a token with this log-probability in nats."""
    p = math.exp(min(logprob, 0.0)) if logprob == logprob else 0.0
    return next(look for bound, look in LOOKS if p < bound)


def _shaded(tokens: Sequence[str], logprobs: Sequence[float]) -> Content:
    return Content.assemble(*_runs(tokens[:SHOWN], logprobs))


def _runs(tokens: Sequence[str], logprobs: Sequence[float]) -> Iterator[tuple[str, str]]:
    """Neighbours of one look are joined: a span a token would cost many times the paint."""
    run, look = "", ""
    for token, logprob in zip(tokens, logprobs, strict=False):
        now = look_of(logprob)
        if now != look and run:
            yield run, look
            run = ""
        look = now
        run += inert(token)
    yield run, look


def _worst(
    tokens: Sequence[str], own: Sequence[float], other: Sequence[float], other_label: str
) -> Content:
    order = sorted(range(min(len(own), len(tokens))), key=lambda i: own[i])[:WORST]
    words = []
    for i in order:
        beside = f", {inert(other_label, one_line=True)} {percent(other[i])}" if other else ""
        words.append(f"{inert(repr(tokens[i]), one_line=True)} {percent(own[i])}{beside}")
    return Content.styled("least likely: " + "; ".join(words), MUTED)


def percent(logprob: float) -> str:
    """A log-probability in nats as a percentage that never reads 0% or 100% falsely."""
    p = 100 * math.exp(min(logprob, 0.0)) if logprob == logprob else 0.0
    if p < 0.1:
        return "<0.1%"
    return f"{p:.1f}%" if p < 10 else ">99%" if 99 < p < 100 else f"{p:.0f}%"


def _short(number: float) -> str:
    return f"{number:.2f}" if number < 100 else f"{number:.3g}"
