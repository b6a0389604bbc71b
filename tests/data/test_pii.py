"""Personal data: what the specifications allow is found, what only looks like it is not."""

import importlib
import itertools
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tuiwb.data.checks.pii import PersonalData, masked, pii, spans, spans_of
from tuiwb.data.checks.pii.automaton import compiled
from tuiwb.data.checks.pii.engine import as_bytes, lazy_scanner, plain_scanner, scanner
from tuiwb.data.checks.pii.find import Finder
from tuiwb.data.checks.pii.secret import shapes as secret_shapes
from tuiwb.data.rows import Message, Row

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
HEX = "0123456789abcdef"
FOUND = [
    ("email", "Write to j.o'neil+x@mail-host.co.uk today", "j.o'neil+x@mail-host.co.uk"),
    ("email", "an <anna@müller.test>, please", "anna@müller.test"),
    ("email", "reach me: 'bob@shop.test'.", "bob@shop.test"),
    ("email", "anna (at) shop (dot) test", "anna (at) shop (dot) test"),
    ("email", 'it is "anna b"@shop.test, yes', '"anna b"@shop.test'),
    ("email", "mail me: j.doe at letters dot io", "j.doe at letters dot io"),
    ("email", '{"note": "write to\\nbob.miller@shop.test"}', "bob.miller@shop.test"),
    ("email", r'{"from": "\u003cbob@shop.test\u003e"}', "bob@shop.test"),
    ("email", r'{"path": "C:\\nbob@shop.test"}', "nbob@shop.test"),
    ("email", r'{"note": "to\tanna (at) shop (dot) test"}', "anna (at) shop (dot) test"),
    ("phone", "Call +44 20 7946 0958.", "+44 20 7946 0958"),
    ("phone", "ring 0049 30 901820 now", "0049 30 901820"),
    ("phone", "I am on (202) 555-0143", "(202) 555-0143"),
    ("phone", "tel 020 7946 0958", "020 7946 0958"),
    ("phone", "ou 06 12 34 56 78 le soir", "06 12 34 56 78"),
    ("phone", "+44 (0)20 7946 0958 ext. 12, please", "+44 (0)20 7946 0958 ext. 12"),
    ("phone", "dial 1-800-FLOWERS now", "1-800-FLOWERS"),
    ("card", "paid by 5500-0055 5555-5559", "5500-0055 5555-5559"),
    ("card", "amex 371449635398431.", "371449635398431"),
    ("card", "card 6212.3456.7890.1232", "6212.3456.7890.1232"),
    ("iban", "to DE89 3704 0044 0532 0130 00 please", "DE89 3704 0044 0532 0130 00"),
    ("iban", "fr1420041010050500013m02606", "fr1420041010050500013m02606"),
    ("iban", "GB-82-WEST-1234-5698-7654-32", "GB-82-WEST-1234-5698-7654-32"),
    ("ip", "from 85.214.132.117 at noon", "85.214.132.117"),
    ("ip", "host 2a02:8108:8a80:1f::1a", "2a02:8108:8a80:1f::1a"),
    ("ip", "at [fe80::1ff:fe23:4567%eth0]:80", "fe80::1ff:fe23:4567%eth0"),
    ("ip", "::ffff:85.214.132.117", "::ffff:85.214.132.117"),
    ("national_id", "SSN 536-90-4399", "536-90-4399"),
    ("national_id", "mi DNI es 12345678Z", "12345678Z"),
    ("national_id", "codice fiscale RSSMRA85T10A562S", "RSSMRA85T10A562S"),
    ("national_id", "PESEL 44051401359", "44051401359"),
    ("national_id", "NHS number 943 476 5919", "943 476 5919"),
    ("national_id", "her PAN: ABCPE1234F", "ABCPE1234F"),
    (
        "address",
        "at 742 Evergreen Terrace, Springfield, IL 62704 since",
        "742 Evergreen Terrace, Springfield, IL 62704",
    ),
    ("address", "send it to 742 Evergreen Terrace.", "742 Evergreen Terrace"),
    ("address", "Musterstraße 12, 10115 Berlin.", "Musterstraße 12, 10115 Berlin"),
    ("address", "au 12 rue de la Paix\n75002 Paris", "12 rue de la Paix\n75002 Paris"),
    ("address", "Calle Mayor 5, 2º B, 28013 Madrid", "Calle Mayor 5, 2º B, 28013 Madrid"),
    ("address", "P.O. Box 12, Boise, ID 83701", "P.O. Box 12, Boise, ID 83701"),
    *(
        ("address", f"Please deliver it to {written} as soon as you can.", written)
        for written in (
            "12 rue de la Paix, Bâtiment B, 75002 Paris Cedex 02, France",
            "500 West 23rd Street\nApt 12B\nNew York, NY 10011\nUSA",
            "The Old Mill, 3 Church Lane, Upper Slaughter, Cheltenham GL54 2JF",
            "Keizersgracht 123-II, 1015 CJ Amsterdam, Nederland",
            "Rue de la Loi 16, boîte 3, 1000 Bruxelles, Belgique",
            "15 Adeola Odeku Street, Victoria Island, Lagos, Nigeria",
            "Av. Insurgentes Sur 1234, Col. Del Valle, 03100 Ciudad de México, CDMX, México",
            "Herzl Street 12, Tel Aviv 6423806, Israel",
            "Václavské náměstí 12, 110 00 Praha 1, Česko",
        )
    ),
    ("name", "hello, my name is Zoë van der Berg and", "Zoë van der Berg"),
    ("name", "Kind regards,\nJ. K. O'Brian\nSales", "J. K. O'Brian"),
    ("name", "Patient name: Kowalski, Anna; born", "Kowalski, Anna"),
    ("secret", "AWS AKIAQ3EGRZTYUIOPLKJH", "AKIAQ3EGRZTYUIOPLKJH"),
    ("secret", "hf_" + "qWzRtPlMnB" * 3 + "kLvN", "hf_" + "qWzRtPlMnB" * 3 + "kLvN"),
    ("secret", "DB_PASSWORD = 'tr0ub4dor&3x'", "tr0ub4dor&3x"),
    ("secret", "postgres://app:S3cr3tPw@db.host/x", "S3cr3tPw"),
    ("secret", "-----BEGIN OPENSSH PRIVATE KEY-----", "-----BEGIN OPENSSH PRIVATE KEY-----"),
    ("secret", "Authorization: Bearer a8Fk20xLqP7vTz31", "a8Fk20xLqP7vTz31"),
]
NOT_FOUND = [
    "git@github.com:me/it.git and logo@2x.png and pkg@1.2.3 and @media",
    "user@example.com is how the documentation writes it",
    "version 10.2.3.4 and v1.2.3.4 and 127.0.0.1 and 255.255.255.0 and 192.0.2.7",
    "numpy==85.3.4.5, a[1::2], std::vector, 00:1A:2B:FF:FE:3C:4D:5E and section 4.33.2.1",
    "at 12:30:45 on 2024-05-06, order 4000123412341235, epoch 1700000000",
    "4111 1111 1111 1111 is the test card, 4929 1234 5678 9011 fails Luhn",
    "GB82 WEST 1234 5698 7654 33 fails its check digits",
    "+83 12 345 678 has no country, 12 345 678 has no trunk",
    "order number 020 7946 0958",
    "AKIAIOSFODNN7EXAMPLE and password=changeme and token: <your token here>",
    "api_key = os.environ['API_KEY'], password: ${DB_PASSWORD}, token = get_token()",
    "the password is required; my name is on the list; call 5 of them",
    "pi is 3.14159265358979 and 1,234,567,890 people",
    "a sha256 like " + HEX * 4,
    "uuid 550e8400-e29b-41d4-a716-446655440000, ISBN 978-3-16-148410-0",
    "My name is not important. The Street is 5 long. We saw 21 Jump Street.",
    "phone number 1234567890",
    "Best regards,\nThe Support Team and From: Los Angeles",
    "we met at booking dot com and looked at github dot com",
    "Please ship it to 12 Main Street Xyz Unknown",
    "\0\0\0 \ud800 \x1b[31m [bold]",
]


def said(text: str, find: Callable[[str], list[Any]] = spans) -> list[tuple[str, str]]:
    """Kinds and texts of what is found."""
    return [(s.kind, text[s.start : s.end]) for s in find(text)]


@pytest.mark.parametrize(("kind", "text", "value"), FOUND)
def test_personal_data_is_found_with_its_span(kind: str, text: str, value: str) -> None:
    assert said(text) == [(kind, value)]


@pytest.mark.parametrize("text", NOT_FOUND)
def test_what_only_looks_like_personal_data_is_left_alone(text: str) -> None:
    assert said(text) == []


@pytest.mark.parametrize("make", [lazy_scanner, plain_scanner], ids=["re2", "re"])
def test_every_engine_gives_the_same_findings(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    pii_known = importlib.import_module("corpora.pii_known")
    other = Finder(make).spans
    samples = pii_known.generate(150 if make is plain_scanner else 600, 5)
    texts = [s.text for s in samples] + [text for _, text, _ in FOUND] + NOT_FOUND
    fastest = spans_of(texts)
    assert sum(map(len, fastest)) > 250
    assert [other(text) for text in texts] == fastest


@pytest.mark.parametrize("make", [scanner, lazy_scanner, plain_scanner])
def test_texts_read_together_give_what_each_gives_alone(make: Any) -> None:
    scan = make([r"(?:^|\W)[0-9]{3}(?:\W|$)", "a b", "[^x]{2}b", "é"])
    texts = [
        "",
        "123",
        "a",
        "b",
        " 456",
        "a b",
        "\x00123\x00",
        "é",
        "",
        "x" * 300_000 + "a b",
        "12",
    ]
    alone = [scan((text.encode(),))[0] for text in texts]
    assert alone == [[], [0], [], [], [0], [1, 2], [0], [3], [], [1, 2], []]
    together = scan([text.encode() for text in texts])
    assert all(set(one) <= set(other) for one, other in zip(alone, together, strict=True))


def test_spans_of_many_texts_are_those_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    samples = importlib.import_module("corpora.pii_known").generate(700, 9)
    texts = [*NOT_FOUND, *(s.text for s in samples), "", "mail anna@shop.test", "\ud800"]
    assert spans_of(texts) == [spans(text) for text in texts]


@pytest.mark.parametrize("state", ["written", "broken", "no folder"])
def test_an_automaton_is_kept_and_built_again_where_that_fails(
    state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("hyperscan")
    home = tmp_path / "cache"
    if state == "no folder":
        home.write_text("a file stands where the folder would")
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    patterns = ("abc", state)
    found = []
    for _ in range(2):
        compiled.cache_clear()
        found.append(scanner(patterns)([b"xabc", state.encode()]))
        for file in home.rglob("*.hs") if state == "broken" else ():
            file.write_bytes(b"not an automaton")
    compiled.cache_clear()
    assert found == [[[0], [1]]] * 2
    assert len([*home.rglob("*.hs")]) == (state != "no folder")


ALPHABET = st.sampled_from([*"019 .-:/@+()\n=,'_aZé\0", "key", "DE89", "St", " at ", "+44", "::"])


@settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(st.lists(ALPHABET | st.text(max_size=3), max_size=60).map("".join))
def test_random_text_never_crashes_and_engines_agree_on_it(text: str) -> None:
    found = spans(text)
    assert found == RE2.spans(text)
    assert all(0 <= s.start < s.end <= len(text) for s in found)
    assert all(a.end <= b.start for a, b in itertools.pairwise(found))


RE2 = Finder(lazy_scanner)


@settings(
    max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(st.data())
def test_a_key_of_any_vendor_fires_the_pattern_that_is_looked_for_first(data: Any) -> None:
    shape = data.draw(st.sampled_from(secret_shapes()))
    plain = re.compile(re.sub(r"\(\?=[^()]*\)", "", shape.pattern.pattern), re.ASCII)
    value = data.draw(st.from_regex(plain, fullmatch=True))
    assert re.search(as_bytes(shape.anchor).encode(), value.encode(), re.DOTALL)


def test_well_over_a_hundred_vendors_have_a_shape() -> None:
    assert len({shape.vendor for shape in secret_shapes()}) > 180


@pytest.mark.parametrize(
    "piece",
    [
        *("1", "@", "a.", "\0", "a@", "1 ", "44 ", "key=", "my name is ", "::1", "x", "+44 "),
        *("4111 1199 5540 3874 ", "1 A St ", "Str 1, ", "ul. A ", "a (at) ", "eyJ", "\ud800"),
        *("A Street 1 ", "12 Main Street, ", "1 rue A ", "PO Box 1, ", "A A A Straße 1 "),
        *("-----BEGIN PRIVATE KEY-----", "token is ", "Regards,\n", "DE89 "),
    ],
)
def test_work_grows_with_the_length_of_hostile_text_and_no_faster(piece: str) -> None:
    small, large = piece * (3000 // len(piece)), piece * (12000 // len(piece))
    spans(small)
    assert calls(large) <= 5 * calls(small) + 2000


def calls(text: str) -> int:
    """How many functions, of Python and of C, the search for spans calls."""
    count = 0

    def note(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        spans(text)
    finally:
        sys.setprofile(None)
    return count


def test_a_megabyte_of_anything_is_read_to_its_end() -> None:
    tail = " mail anna@shop.test"
    for piece in ("1234567890", "@", "a.", "\0", "x", " ", "a b "):
        assert said(piece * (1_000_000 // len(piece)) + tail) == [("email", "anna@shop.test")]


def rows() -> Iterator[Row]:
    texts = ("key AKIAQ3EGRZTYUIOPLKJH", "nothing here", "to anna@shop.test from 85.214.132.117")
    for i, text in enumerate(texts):
        messages = [Message("user", text), Message("assistant", "fine")]
        yield Row(file="d", index=i, line=i + 1, format="chat", shape="chat", messages=messages)


def test_a_batch_gives_the_findings_of_its_rows_and_counts_them() -> None:
    check = PersonalData()
    found = [*check.add(list(rows())), *check.end()]
    assert found == [finding for row in rows() for finding in pii(row)]
    assert [(f.row, f.kind, f.field) for f in found] == [
        (0, "secret", "messages[0].content"),
        (2, "email", "messages[0].content"),
        (2, "ip", "messages[0].content"),
    ]
    assert check.audit() == {"kinds": {"secret": 1, "email": 1, "ip": 1}, "rows": 2}


def test_a_secret_reaches_no_report_in_clear() -> None:
    secret = next(iter(PersonalData().add(list(rows()))))
    assert "AWS access key id" in secret.sentence
    assert (secret.start, secret.end, secret.severity) == (4, 24, "error")
    assert secret.text == masked("AKIAQ3EGRZTYUIOPLKJH") == "AKIA… (20 characters)"
    assert "Q3EG" not in secret.sentence
    assert masked("hunter22") == "hu… (8 characters)"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("FN:Ada\nTEL;TYPE=CELL:2124567890\nEND:VCARD", "2124567890"),
        ("item1.TEL:(212) 456 7890\n", "(212) 456 7890"),
        ("ticket,opened,phone,status\nA-1,2024-01-05,(212) 456 7890,open", "(212) 456 7890"),
        ("ticket;mobile\nA-1;0176 1234567\nA-2;0176 7654321", "0176 1234567"),
        ("WhatsApp: 11 98765-4321", "11 98765-4321"),
    ],
)
def test_a_phones_line_or_column_says_what_it_is(text: str, number: str) -> None:
    found = [text[s.start : s.end] for s in spans(text) if s.kind == "phone"]
    assert number in found


@pytest.mark.parametrize(
    "text",
    [
        "ticket,amount,status\nA-1,2124567890,open",
        "driver 9.32.16.0 from the server",
        "postgres://app:${DB_PASSWORD}@db/app",
        "redis://:{{ redis_password }}@cache",
    ],
)
def test_other_columns_versions_and_variables_are_nobodys(text: str) -> None:
    assert spans(text) == []
