"""One row to read: as a conversation, or as the tokens the trainer will see."""

from collections.abc import Iterator, Sequence

from textual.content import Content

from tuiwb.data.checks.finding import Finding
from tuiwb.data.render import Rendered, Token, turn_text
from tuiwb.data.rows import Row
from tuiwb.text import inert

SHOWN = 20_000
TOKENS_SHOWN = 8_000
MUTED = "$foreground 60%"
ROLE_STYLES = {"user": "bold $accent", "assistant": "bold $primary", "system": "bold $secondary"}

Part = Content | str | tuple[str, str]


EDITED = "found before the row was edited; a check of the next version (w) looks again"


def conversation_content(
    row: Row, findings: Sequence[Finding] = (), *, edited: bool = False
) -> Content:
    """The row turn by turn, what its findings point at underlined and reversed; not where it was
    `edited` since, as they point into what stood there before."""
    parts: list[Part] = [*_finding_lines(findings, edited)]
    if row.shape == "broken":
        if not findings:
            parts += [("✗ broken row  ", "bold $text-error"), f"{inert(row.problem or '')}\n\n"]
        return Content.assemble(*parts, inert((row.text or "")[:SHOWN]))
    if row.tools:
        names = ", ".join(str(tool.get("function", tool).get("name")) for tool in row.tools)
        parts += [("tools  ", "bold $secondary"), inert(names, one_line=True), "\n\n"]
    spans: dict[str, list[Finding]] = {}
    for finding in () if edited else findings:
        if finding.start is not None:
            spans.setdefault(finding.field, []).append(finding)
    counts: dict[str, int] = {}
    for part, message in row.conversation():
        n = counts.get(part, 0)
        counts[part] = n + 1
        field = f"{part}[{n}].content" if isinstance(getattr(row, part), list) else part
        answer = part in ("completion", "chosen", "rejected")
        head = f"{part}: {message.role}" if answer else message.role
        style = ROLE_STYLES.get(message.role, "bold")
        parts += [(inert(head, one_line=True), style), "\n"]
        parts += _with_spans(message.content, spans.get(field, []))
        if message.tool_calls:
            calls = turn_text(message)[len(message.content) :].lstrip("\n")
            parts += ["\n" if message.content else "", inert(calls)]
        parts.append("\n\n")
    if row.label is not None:
        parts += [("label  ", MUTED), "good ✓" if row.label else "bad ✗", "\n"]
    if row.tags:
        words = ", ".join(f"{key}={value!r}" for key, value in row.tags.items())
        parts += [("tags  ", MUTED), (inert(words[:500], one_line=True), MUTED)]
    return Content.assemble(*parts).rstrip()


def rendered_content(
    rendered: Rendered, findings: Sequence[Finding] = (), *, edited: bool = False
) -> Content:
    """Tokens in a row: trained ones underlined, special ones reversed, cut ones struck out."""
    parts: list[Part] = [*_finding_lines(findings, edited)]
    view: Rendered | None = rendered
    while view is not None:
        if view.part:
            parts += [(view.part, "bold $primary"), f"  {counts_line(view)}\n"]
        for note in view.notes:
            parts += [("! ", "bold $text-warning"), (inert(note), "$text-warning"), "\n"]
        parts += _tokens(view)
        view = view.other
        parts.append("\n" if view is not None else "")
    return Content.assemble(*parts)


def counts_line(rendered: Rendered) -> str:
    """How many tokens, how many of them trained, whether the end is cut, whether it stops."""
    share = rendered.trained / rendered.total if rendered.total else 0.0
    words = [f"{rendered.total} tokens", f"{rendered.trained} trained ({share:.0%})"]
    if rendered.truncated_at is not None:
        words.append(f"cut at {rendered.truncated_at}")
    if rendered.stop_token_trained is not None:
        words.append("stop token trained" if rendered.stop_token_trained else "stop NOT trained")
    return "  ".join(words)


def _finding_lines(findings: Sequence[Finding], edited: bool) -> Iterator[Part]:
    if edited and findings:
        yield (f"✎ {EDITED}\n", MUTED)
    for finding in findings[:12]:
        mark = "✗" if finding.severity == "error" else "!"
        style = "$text-error" if finding.severity == "error" else "$text-warning"
        style = MUTED if edited else style
        yield (f"{mark} {finding.check}  ", f"bold {style}")
        yield (inert(finding.sentence, one_line=True), style)
        yield "\n"
    if len(findings) > 12:
        yield (f"  and {len(findings) - 12} more findings\n", MUTED)
    if findings:
        yield "\n"


def _with_spans(text: str, spans: list[Finding]) -> Iterator[Part]:
    if not text:
        yield ("(empty)", f"italic {MUTED}")
        return
    at = 0
    shown = text[:SHOWN]
    for finding in sorted(spans, key=lambda f: f.start or 0):
        start, end = finding.start or 0, finding.end or 0
        if start < at or end > len(shown):
            continue
        yield inert(shown[at:start])
        yield (inert(shown[start:end]), "underline reverse")
        at = end
    yield inert(shown[at:])
    if len(text) > SHOWN:
        yield (f"\n… {len(text) - SHOWN:,} more characters", MUTED)


def _tokens(view: Rendered) -> Iterator[Part]:
    """Neighbours of one look are joined: a span a token would cost ten times the paint."""
    run, style = "", ""
    for i, token in enumerate(view.tokens[:TOKENS_SHOWN]):
        cut = view.truncated_at is not None and i >= view.truncated_at
        if i == view.truncated_at:
            yield (run, style)
            run = ""
            lost = view.total - i
            yield (f"\n✂ the trainer cuts here: {lost} tokens are lost ✂\n", "bold $text-error")
        now = token_style(token, cut)
        if now != style and run:
            yield (run, style)
            run = ""
        style = now
        run += inert(token.text).replace("\n", "⏎\n")
    yield (run, style)
    if view.total > TOKENS_SHOWN:
        yield (f"\n… {view.total - TOKENS_SHOWN:,} more tokens", MUTED)


def token_style(token: Token, cut: bool) -> str:
    """Special tokens reversed, trained ones underlined and bold, cut ones struck out."""
    if cut:
        return "strike $foreground 50%"
    looks = ["reverse"] if token.special else []
    looks += ["underline", "bold", "$text-success"] if token.trained else ["$foreground 70%"]
    return " ".join(looks)
