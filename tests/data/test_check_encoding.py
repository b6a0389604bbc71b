"""encoding: texts damaged on their way into the dataset."""

import pytest

from tests.data.some_rows import chat, findings
from tuiwb.data.checks.encoding import Encoding, undone


def misread(byte: int, codec: str) -> str:
    """A byte as the codec reads it; what Windows-1252 leaves open browsers read as Latin-1."""
    try:
        return bytes([byte]).decode(codec)
    except UnicodeDecodeError:
        return chr(byte)


@pytest.mark.parametrize(
    "text",
    [
        "café",
        "naïve Œuvre",
        "“quoted” – it’s",
        "10 °C · £5",
        "Привет мир",
        "日本語です",
        "😀 ok",
        "Ångström",
    ],
)
@pytest.mark.parametrize("codec", ["cp1252", "latin-1"])
def test_utf8_read_as_a_western_codec_is_found_and_read_back(text: str, codec: str) -> None:
    damaged = "".join(misread(byte, codec) for byte in text.encode())
    found = [f for f in findings(Encoding(), [chat(f"see {damaged}")]) if f.kind == "mojibake"]
    assert len(found) == 1
    meant = undone(found[0].text)
    assert meant is not None
    assert meant in text


@pytest.mark.parametrize(
    "text",
    [
        "Ça va? Où est le café «ÉTÉ»?",
        "Größe, Übermut, Straße",
        "À côté – l’œuvre",
        "Ñandú, mañana, ¿qué?",
        "São Paulo, NÃO, AMANHÃ.",
        "Ελληνικά, русский, 中文",
        "5 × 3 ÷ 2 ± 1 ½ ² ° §",
        "Î» is lambda",
        "à€€ would be too long a code for what it says",
    ],
)
def test_western_writing_is_no_mojibake(text: str) -> None:
    assert findings(Encoding(), [chat(text)]) == []


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("lost \ufffd\ufffd here", "replacement"),
        ("a\x00b", "control"),
        ("\x1b[31mred\x1b[0m", "control"),
        ("Fish &amp; chips", "html"),
        ("it&#39;s late", "html"),
        ("first<br/>second", "html"),
        ("<p>Dear all", "html"),
        ("one.\\n\\nTwo.", "escaped"),
        ("caf\\u00e9", "escaped"),
    ],
)
def test_other_damage_is_found_once_a_text(text: str, kind: str) -> None:
    found = findings(Encoding(), [chat("hi", text)])
    assert [(f.field, f.kind) for f in found] == [("messages[1].content", kind)]
    assert text[found[0].start : found[0].end] == found[0].text


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("Write a web page", "<p>Hello</p>"),
        ("How do I bold in HTML?", "Use <b>this</b> or &lt;b&gt;."),
        ("hi", "```\n<br>\n```"),
        ("hi", '{"text": "a\\n\\nb"}'),
        ("Split on \\n\\n in Python", "text.split('\\n\\n')"),
        ("if a < b and c > d", "then a & b; or c"),
        ("tabs\tand\r\nlines", "fine"),
        ("I <3 you", "<smile>"),
    ],
)
def test_code_and_markup_on_purpose_is_left_alone(asked: str, said: str) -> None:
    assert findings(Encoding(), [chat(asked, said)]) == []
