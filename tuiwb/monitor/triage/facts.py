"""What triage is told about a run besides its events: its data as tokenised, its adapter."""

from pathlib import Path

import msgspec

from tuiwb.jobs.folder import write_atomically
from tuiwb.prepared import prepared

FACTS = "triage.json"


class DataFacts(msgspec.Struct, kw_only=True):
    """The training data as the trainer got it.

    `rows` are those given to the trainer, `masked` of them have no trained token within max_length
    and are left out, `cut` lose their end; `unstopped` of the `uncut` others never train a token
    that ends an answer. `heldout_rows` are held out; `canary_rows` watch what the base knew.
    `packs`: sequences after packing, None without. `vocabulary`: tokens the tokenizer knows.
    `unknown_marks`: control tokens that the chat template writes and the tokenizer splits up;
    `unused_marks`: control tokens of chats that the tokenizer has and the template doesn't write.
    `foreign` rows hold `foreign_mark`s of another family, in their text. Places are file:line.
    """

    rows: int = 0
    masked: int = 0
    masked_rows: list[str] = []
    cut: int = 0
    cut_rows: list[str] = []
    longest: int = 0
    uncut: int = 0
    unstopped: int = 0
    unstopped_rows: list[str] = []
    heldout_rows: int = 0
    canary_rows: int = 0
    packs: int | None = None
    vocabulary: int = 0
    pad_is_eos: bool | None = None
    pad_token: str = ""
    unknown_marks: list[str] = []
    unused_marks: list[str] = []
    foreign: int = 0
    foreign_mark: str = ""
    foreign_rows: list[str] = []


class AdapterFacts(msgspec.Struct, kw_only=True):
    """A saved LoRA adapter: `matrices` that have a lora_B, `zero` of which are all zero.

    `scale` is lora_alpha / r (or / sqrt(r)); `update` the largest ratio, over the matrices looked
    at, of the update's Frobenius norm scale * |B A| to the base weight's |W|; None without the
    base's weights. `finite`: whether every number in it is one.
    """

    matrices: int
    zero: int
    scale: float
    update: float | None = None
    finite: bool = True


class Scores(msgspec.Struct, kw_only=True):
    """One task metric of a comparison, means in [0, 1]; `p` of the exact two-sided sign test on
    the prompts where base and adapter differ (`better`, `worse`)."""

    name: str
    n: int
    base: float
    adapter: float
    better: int = 0
    worse: int = 0
    p: float | None = None


class Answers(msgspec.Struct, kw_only=True):
    """What base and adapter answered to `n` prompts of the file `prompts`.

    `heldout`: they are the run's own held-out rows. `cut`: answers that never ended. `not_json`:
    places of prompts (the first) whose reference is JSON and whose answer is not.
    """

    prompts: str
    heldout: bool
    n: int
    identical: int
    logit_difference: float | None = None
    cut: int = 0
    base_cut: int = 0
    empty: int = 0
    metrics: list[Scores] = []
    not_json: list[str] = []


def keep_facts(run: Path, facts: DataFacts) -> None:
    """Write the facts into the run's folder, whole or not at all."""
    write_atomically(run / FACTS, msgspec.json.encode(facts))


def read_facts(run: Path) -> DataFacts | None:
    """The facts a run's worker kept; None where there are none that can be read."""
    try:
        return msgspec.json.decode((run / FACTS).read_bytes(), type=prepared(DataFacts))
    except (OSError, RecursionError, msgspec.MsgspecError):
        return None
