"""Message batches of the Messages API through the anthropic SDK: half price, within a day."""

import datetime
from collections.abc import Sequence
from urllib.parse import quote

import msgspec
from anthropic._decoders.jsonl import AsyncJSONLDecoder
from anthropic.types.messages import MessageBatchIndividualResponse

from tuiwb.llm.anthropic_endpoint import AnthropicEndpoint, answer_of, errors_in_our_words
from tuiwb.llm.client import Answer, Cut, NoAnswer


class BatchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One question of a batch; `custom_id` (at most 64 letters) names it in the results."""

    custom_id: str
    text: str
    max_tokens: int


class BatchState(msgspec.Struct, frozen=True, kw_only=True):
    """How far a batch is: requests by what became of them, `ended` when results can be had."""

    id: str
    ended: bool
    created: float
    processing: int = 0
    done: int = 0

    @property
    def requests(self) -> int:
        """All of them."""
        return self.processing + self.done


class BatchResult(msgspec.Struct, kw_only=True):
    """What became of one request: an answer, or why there is none; `again` where asking again may
    help (expired, cancelled, the provider's own error)."""

    custom_id: str
    answer: Answer | None = None
    reason: str = ""
    again: bool = False


class AnthropicBatches:
    """Batches at an endpoint; every method raises Refused, Cut, NoAnswer or TimeoutError."""

    def __init__(self, endpoint: AnthropicEndpoint) -> None:
        self._endpoint = endpoint
        self._batches = endpoint.client.messages.batches

    async def send(self, requests: Sequence[BatchRequest], mode: str) -> BatchState:
        """Send one batch; it is worked on from then on, whatever becomes of this process."""
        with errors_in_our_words():
            asked = [
                {
                    "custom_id": request.custom_id,
                    "params": self._endpoint.request(request.text, mode, request.max_tokens),
                }
                for request in requests
            ]
            return _state(await self._batches.create(requests=asked))  # type: ignore[arg-type]

    async def state(self, batch: str) -> BatchState:
        """How far a batch is."""
        with errors_in_our_words():
            return _state(await self._batches.retrieve(batch))

    async def recent(self) -> list[BatchState]:
        """The latest hundred batches of this key's workspace, newest first."""
        with errors_in_our_words():
            page = await self._batches.list(limit=100)
            return [_state(batch) for batch in page.data]

    async def results(self, batch: str) -> list[BatchResult]:
        """Every result of a batch that ended, in any order."""
        with errors_in_our_words():
            # Not from the address that the answer names: the key goes along, and only to the one
            # the user named. Behind a gateway it may also be one that can't be reached.
            lines: AsyncJSONLDecoder[
                MessageBatchIndividualResponse
            ] = await self._endpoint.client.get(
                f"/v1/messages/batches/{quote(batch, safe='')}/results",
                cast_to=AsyncJSONLDecoder[MessageBatchIndividualResponse],
                options={"headers": {"Accept": "application/binary"}},
                stream=True,
            )
            found = [_result(line) async for line in lines]
        if not found:
            raise Cut("the results are empty")
        return found


def _state(batch: object) -> BatchState:
    counts = getattr(batch, "request_counts", None)

    def count(name: str) -> int:
        value = getattr(counts, name, 0)
        return value if isinstance(value, int) else 0

    identity, created = getattr(batch, "id", None), getattr(batch, "created_at", None)
    if not isinstance(identity, str) or not identity.isprintable() or not 0 < len(identity) <= 200:
        raise NoAnswer("a batch without an id")
    return BatchState(
        id=identity,
        ended=getattr(batch, "processing_status", "") == "ended",
        created=created.timestamp() if isinstance(created, datetime.datetime) else 0.0,
        processing=count("processing"),
        done=sum(count(name) for name in ("succeeded", "errored", "canceled", "expired")),
    )


def _result(line: object) -> BatchResult:
    custom_id = str(getattr(line, "custom_id", "") or "")
    result = getattr(line, "result", None)
    kind = str(getattr(result, "type", "") or "no result")
    if kind == "succeeded":
        return BatchResult(custom_id=custom_id, answer=answer_of(getattr(result, "message", None)))
    told = getattr(getattr(result, "error", None), "error", None)
    why, words = getattr(told, "type", ""), getattr(told, "message", "")
    return BatchResult(
        custom_id=custom_id,
        reason=": ".join(str(part) for part in (kind, why, words) if part),
        again=why != "invalid_request_error",
    )
