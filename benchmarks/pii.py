"""Personal data and secrets: our pass against presidio-analyzer, on corpora with known truth.

One corpus has the formats the rules were written with; two were written from the specifications
alone, each by someone who had read neither the rules nor the other corpora. A span counts as found
when one of its kind overlaps it by at least half of their union. presidio runs its default English
recognisers on a blank spaCy model (no NER weights are needed), for quality with its predefined
recognisers of national ids added; entity types without a class of ours count neither way.
"""

import argparse
import importlib
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from corpora import Sample

from tuiwb.data.checks.pii import spans_of

KINDS = ("email", "phone", "card", "iban", "ip", "national_id", "address", "name", "secret")
Spans = list[tuple[int, int, str]]
CLASS_OF = {
    "EMAIL_ADDRESS": "email",
    "PHONE_NUMBER": "phone",
    "CREDIT_CARD": "card",
    "IBAN_CODE": "iban",
    "IP_ADDRESS": "ip",
    "PERSON": "name",
    "LOCATION": "address",
    **dict.fromkeys(
        ("US_SSN", "US_ITIN", "UK_NHS", "UK_NINO", "ES_NIF", "ES_NIE", "IT_FISCAL_CODE", "AU_TFN",
         "AU_MEDICARE", "IN_AADHAAR", "IN_PAN", "SG_NRIC_FIN", "PL_PESEL", "KR_RRN", "TH_TNIN",
         "FI_PERSONAL_IDENTITY_CODE", "CA_SIN", "SE_PERSONNUMMER", "TR_NATIONAL_ID", "ZA_ID_NUMBER",
         "NG_NIN", "DE_TAX_ID", "DE_ID_CARD", "DE_SOCIAL_SECURITY"),
        "national_id",
    ),
}  # fmt: skip
RECOGNIZERS = (
    *("UkNinoRecognizer", "EsNifRecognizer", "EsNieRecognizer", "ItFiscalCodeRecognizer"),
    *("AuTfnRecognizer", "AuMedicareRecognizer", "InAadhaarRecognizer", "InPanRecognizer"),
    *("SgFinRecognizer", "PlPeselRecognizer", "KrRrnRecognizer", "ThTninRecognizer"),
    *("FiPersonalIdentityCodeRecognizer", "CaSinRecognizer", "SePersonnummerRecognizer"),
    *("TrNationalIdRecognizer", "ZaIdNumberRecognizer", "NgNinRecognizer", "DeTaxIdRecognizer"),
    *("DeIdCardRecognizer", "DeSocialSecurityRecognizer"),
)


def analyzer(more: bool) -> Callable[[str], Spans]:
    """presidio's analysis of one text as spans of our kinds; with `more`, of more countries."""
    import presidio_analyzer
    import presidio_analyzer.predefined_recognizers as predefined
    import spacy
    from presidio_analyzer.nlp_engine import SpacyNlpEngine

    class Blank(SpacyNlpEngine):
        def __init__(self) -> None:
            super().__init__(models=[{"lang_code": "en", "model_name": "blank"}])

        def load(self) -> None:
            self.nlp = {"en": spacy.blank("en")}

    nlp = Blank()
    nlp.load()
    engine = presidio_analyzer.AnalyzerEngine(nlp_engine=nlp, supported_languages=["en"])
    for name in RECOGNIZERS if more else ():
        if (recognizer := getattr(predefined, name, None)) is not None:
            engine.registry.add_recognizer(recognizer(supported_language="en"))

    def analyze(text: str) -> Spans:
        return [
            (found.start, found.end, CLASS_OF[found.entity_type])
            for found in engine.analyze(text, language="en")
            if found.entity_type in CLASS_OF
        ]

    return analyze


def _without_overlaps(spans: Spans) -> Spans:
    """Of overlapping spans of one kind the longest, so that no detector is blamed twice."""
    kept: Spans = []
    for start, end, kind in sorted(spans, key=lambda s: s[0] - s[1]):
        if all(end <= a or start >= b or kind != other for a, b, other in kept):
            kept.append((start, end, kind))
    return kept


def score(samples: Sequence[Sample], found: Sequence[Spans]) -> dict[str, dict[str, float]]:
    """Precision, recall and numbers per kind; intersection over union of at least a half counts."""
    planted: Counter[str] = Counter()
    said: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for sample, spans in zip(samples, found, strict=True):
        left = list(sample.spans)
        planted.update(kind for _, _, kind in left)
        for start, end, kind in _without_overlaps(spans):
            said[kind] += 1
            for truth in left:
                both = min(end, truth[1]) - max(start, truth[0])
                either = max(end, truth[1]) - min(start, truth[0])
                if kind == truth[2] and both * 2 >= either:
                    right[kind] += 1
                    left.remove(truth)
                    break
    return {
        kind: {
            "planted": planted[kind],
            "found": said[kind],
            "precision": round(right[kind] / said[kind], 4) if said[kind] else 1.0,
            "recall": round(right[kind] / planted[kind], 4) if planted[kind] else 1.0,
        }
        for kind in KINDS
    }


def ours(texts: Sequence[str]) -> list[Spans]:
    """Our pass over many texts."""
    return [[(s.start, s.end, s.kind) for s in spans] for spans in spans_of(texts)]


def rate(run: Callable[[], Any], rows: int) -> float:
    """Rows a second, the better of two runs."""
    best = 0.0
    for _ in range(2):
        start = time.perf_counter()
        run()
        best = max(best, rows / (time.perf_counter() - start))
    return best


def measure(rows: int = 4000, peer_rows: int = 400, seed: int = 7) -> dict[str, Any]:
    """Everything: {"corpora": {name: {"ours": per kind, "presidio": per kind}}, "speed": {...}}.

    presidio sees the first `peer_rows` of the same rows; its recall and ours are compared on those.
    """
    known = importlib.import_module("corpora.pii_known")
    unseen = importlib.import_module("corpora.pii_unseen")
    third = importlib.import_module("corpora.pii_blind")
    wide, default = analyzer(more=True), analyzer(more=False)
    ours(["a first call builds the patterns"])
    result: dict[str, Any] = {"corpora": {}, "speed": {}}
    corpora = {"known": known.generate(rows, seed), "unseen": unseen.generate(rows, seed)}
    corpora["third"] = third.generate(rows, seed)
    for name, samples in corpora.items():
        peers = samples[:peer_rows]
        result["corpora"][name] = {
            "ours": score(samples, ours([s.text for s in samples])),
            "ours, presidio's rows": score(peers, ours([s.text for s in peers])),
            "presidio": score(peers, [wide(s.text) for s in peers]),
        }
    texts = {
        "dense": [s.text for s in corpora["known"]],
        "dense, unseen": [s.text for s in corpora["unseen"]],
        "clean": [s.text for s in known.clean(rows, seed)],
    }
    for name, some in texts.items():
        few = some[: peer_rows // 2]
        theirs = rate(lambda few=few: [default(text) for text in few], len(few))
        mine = rate(lambda some=some: spans_of(some), len(some))
        result["speed"][name] = {
            "ours": round(mine), "presidio": round(theirs, 1), "ratio": round(mine / theirs, 1),
        }  # fmt: skip
    result["speed"]["false alarms on clean"] = sum(map(len, spans_of(texts["clean"])))
    return result


def table(result: dict[str, Any]) -> str:
    """The result as a person reads it."""
    lines = []
    for name, found in result["corpora"].items():
        lines.append(
            f"{name:<14}{'planted':>7} {'P':>7} {'R':>7}   presidio's rows: our R, its P, its R"
        )
        for kind in KINDS:
            mine, peer = found["ours"][kind], found["presidio"][kind]
            same = found["ours, presidio's rows"][kind]
            lines.append(
                f"  {kind:<12}{mine['planted']:>7} {mine['precision']:>7.3f} {mine['recall']:>7.3f}"
                f"{same['recall']:>26.3f}{peer['precision']:>7.3f}{peer['recall']:>7.3f}"
            )
    for name, speed in result["speed"].items():
        if isinstance(speed, dict):
            lines.append(
                f"{name:<16} {speed['ours']:>9} rows/s, presidio {speed['presidio']:>7},"
                f" {speed['ratio']} times"
            )
        else:
            lines.append(f"{name}: {speed}")
    return "\n".join(lines)


def main() -> int:
    """Measure, print the table and the numbers as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--peer-rows", type=int, default=400)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    result = measure(arguments.rows, arguments.peer_rows, arguments.seed)
    print(table(result))
    print(json.dumps({"name": "pii", "results": result}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
