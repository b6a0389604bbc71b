"""What the tokenizer process says of rows and models: the answers' types, and nothing heavy."""

import msgspec


class Token(msgspec.Struct, array_like=True):
    """One token: the text it stands for ('' for the later pieces of one character), its id.

    `special`: the tokenizer treats it as one of its own marks. `trained`: the loss is on it.
    """

    text: str
    id: int
    special: bool
    trained: bool


class Rendered(msgspec.Struct, kw_only=True):
    """A row as the trainer's collator will hold it, before truncation takes its end.

    `total` and `trained` count tokens; `truncated_at` is the first token cut, None when all stay.
    `stop_token_trained` is None where nothing says (plain text). `part` names which answer of a
    pair this is; `other` is the pair's rejected answer.
    """

    tokens: list[Token]
    total: int
    trained: int
    truncated_at: int | None = None
    stop_token_trained: bool | None = None
    notes: list[str] = []
    part: str = ""
    other: "Rendered | None" = None

    @property
    def text(self) -> str:
        """The rendered text, every token's text joined."""
        return "".join(token.text for token in self.tokens)


class Measured(msgspec.Struct, array_like=True):
    """A row's token counts; of a pair, those of its longer answer.

    `total` counts tokens, uncut; where not `counted`, the row's bytes prove that it has at most so
    many and that some are trained. `trained` holds the stretches the loss is on, as token positions
    start, end, start, end, ... in order and apart. `stops`: the last trained token is one of the
    tokenizer's own marks; None where no token is trained or none was counted. `unmasked`: answers
    that the template marks and TRL's mask misses. `problem`: why the row can't be rendered.
    """

    total: int
    trained: list[int] = []
    counted: bool = True
    stops: bool | None = None
    double_bos: bool = False
    problem: str | None = None
    unmasked: int = 0

    def trained_within(self, limit: int | None) -> int:
        """How many of the first `limit` tokens the loss is on."""
        pairs = zip(self.trained[::2], self.trained[1::2], strict=True)
        if limit is None:
            return sum(end - start for start, end in pairs)
        return sum(max(0, min(end, limit) - start) for start, end in pairs)


class ModelFacts(msgspec.Struct, kw_only=True):
    """What a tokenizer and its chat template do to every row.

    `masks`: the template TRL trains with marks the assistant's turns ({% generation %}); `family`:
    TRL swaps in its own marked template. `adds_bos`: encoding plain text puts a BOS before it.
    `at_most_bytes`: a text has at most as many tokens as bytes. `control_tokens`: its own marks.
    """

    chat_template: bool
    masks: bool
    family: bool
    stop_token_trained: bool
    bos_token: str | None
    eos_token: str | None
    pad_token: str | None
    adds_bos: bool
    at_most_bytes: bool
    control_tokens: list[str]
    notes: list[str]
