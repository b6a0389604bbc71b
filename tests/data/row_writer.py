"""A model that writes rows, for the loopback server: fresh ones, as many as a request wants."""

import hashlib
import json
import random
from pathlib import Path
from typing import Any

from tests.llm.endpoint_server import Answer, Asked, message

WORDS = [
    f"{a}{b}"
    for a in ("par", "van", "dor", "mel", "tis", "kor", "lum", "ged", "fos", "hin")
    for b in ("cel", "ish", "ter", "wick", "ble", "ton", "gar", "nus", "pex", "dal")
]


def chat(question: str, answer: str, system: str | None = None) -> dict[str, Any]:
    opening = [{"role": "system", "content": system}] if system else []
    return {
        "messages": [
            *opening,
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
    }


def words(key: object, n: int = 14) -> str:
    """Words that no other key has in this order."""
    return " ".join(random.Random(str(key)).sample(WORDS, n))


def new_rows(asked: Asked, tag: object = "") -> list[dict[str, Any]]:
    """As many fresh rows as a request wants; the same request gets the same rows."""
    key = hashlib.sha256(asked.text.encode()).hexdigest()
    return [
        chat(words((key, tag, i)), words((key, tag, i, "a"))) for i in range(asked.data["rows"])
    ]


def writes(asked: Asked) -> Answer:
    return message({"rows": new_rows(asked)}, tokens=(900, 300))


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
