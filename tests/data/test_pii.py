"""Personal data: what the specifications allow is found, what only looks like it is not."""

import pytest

from tuiwb.data.checks.pii import spans

HEX = "0123456789abcdef"
FOUND = [
    ("email", "Write to j.o'neil+x@mail-host.co.uk today", "j.o'neil+x@mail-host.co.uk"),
    ("email", "an <anna@müller.test>, please", "anna@müller.test"),
    ("email", "reach me: 'bob@shop.test'.", "bob@shop.test"),
    ("email", "anna (at) shop (dot) test", "anna (at) shop (dot) test"),
    ("phone", "Call +44 20 7946 0958.", "+44 20 7946 0958"),
    ("phone", "ring 0049 30 901820 now", "0049 30 901820"),
    ("phone", "I am on (202) 555-0143", "(202) 555-0143"),
    ("phone", "tel 020 7946 0958", "020 7946 0958"),
    ("card", "paid by 5500-0055 5555-5559", "5500-0055 5555-5559"),
    ("card", "amex 371449635398431.", "371449635398431"),
    ("iban", "to DE89 3704 0044 0532 0130 00 please", "DE89 3704 0044 0532 0130 00"),
    ("iban", "fr1420041010050500013m02606", "fr1420041010050500013m02606"),
    ("ip", "from 85.214.132.117 at noon", "85.214.132.117"),
    ("ip", "host 2a02:8108:8a80:1f::1a", "2a02:8108:8a80:1f::1a"),
    ("national_id", "SSN 536-90-4399", "536-90-4399"),
    ("address", "at 742 Evergreen Terrace, Springfield.", "742 Evergreen Terrace, Springfield"),
    ("name", "hello, my name is Zoë van der Berg and", "Zoë van der Berg"),
    ("name", "Kind regards,\nJ. K. O'Brian\nSales", "J. K. O'Brian"),
    ("secret", "AWS AKIAQ3EGRZTYUIOPLKJH", "AKIAQ3EGRZTYUIOPLKJH"),
    ("secret", "hf_" + "qWzRtPlMnB" * 3 + "kLvN", "hf_" + "qWzRtPlMnB" * 3 + "kLvN"),
    ("secret", "DB_PASSWORD = 'tr0ub4dor&3x'", "tr0ub4dor&3x"),
    ("secret", "postgres://app:S3cr3tPw@db.host/x", "S3cr3tPw"),
    ("secret", "-----BEGIN OPENSSH PRIVATE KEY-----", "-----BEGIN OPENSSH PRIVATE KEY-----"),
]
NOT_FOUND = [
    "git@github.com:me/it.git and logo@2x.png and pkg@1.2.3",
    "user@example.com is how the documentation writes it",
    "version 10.2.3.4 and v1.2.3.4 and 127.0.0.1 and 255.255.255.0 and 192.0.2.7",
    "at 12:30:45 on 2024-05-06, order 4000123412341235, epoch 1700000000",
    "4111 1111 1111 1111 is the test card, 4929 1234 5678 9011 fails Luhn",
    "GB82 WEST 1234 5698 7654 33 fails its check digits",
    "+83 12 345 678 has no country",
    "AKIAIOSFODNN7EXAMPLE and password=changeme and token: <your token here>",
    "the password is required; my name is on the list; call 5 of them",
    "pi is 3.14159265358979 and 1,234,567,890 people",
    "a sha256 like " + HEX * 4,
    "My name is not important. The Street is 5 long.",
    "phone number 1234567890",
]


@pytest.mark.parametrize(("kind", "text", "value"), FOUND)
def test_personal_data_is_found_with_its_span(kind: str, text: str, value: str) -> None:
    assert [(s.kind, text[s.start : s.end]) for s in spans(text)] == [(kind, value)]


@pytest.mark.parametrize("text", NOT_FOUND)
def test_what_only_looks_like_personal_data_is_left_alone(text: str) -> None:
    assert [(s.kind, text[s.start : s.end]) for s in spans(text)] == []


def test_hostile_text_costs_no_time() -> None:
    for text in ("a@" * 20000, "1 " * 30000, "x" * 200_000, "key=" * 20000, "my name is " * 9000):
        assert isinstance(spans(text), list)
