"""Questions to the judge: the verdict's schema over the shared client of endpoints."""

from typing import Any

from tuiwb.compare.judge.protocol import EFFORT, SCHEMA, TOOL, Question, Verdict, parse_verdict
from tuiwb.llm.anthropic_batches import AnthropicBatches
from tuiwb.llm.anthropic_endpoint import AnthropicEndpoint
from tuiwb.llm.client import Answer, Client, Endpoint, Reply
from tuiwb.llm.openai_endpoint import OpenAIEndpoint
from tuiwb.llm.prices import Usage


class JudgeClient:
    """Asks one endpoint; the key comes from the environment and appears in no message.

    `batches` is None where the API has none.
    """

    def __init__(self, spec: dict[str, Any], system: str, worked: str = "") -> None:
        """`worked` is the mode of an earlier verdict from this endpoint: it need prove nothing."""
        self._max_tokens = spec["max_tokens"]
        self.batches: AnthropicBatches | None = None
        endpoint = self._endpoint(spec, system)
        self.client = Client(
            endpoint,
            model=spec["model"],
            deadline=spec["deadline"],
            concurrency=spec["concurrency"],
            most=spec.get("most_at_once"),
            who="the judge",
            url_option="--judge" if spec.get("api") == "openai" else "--base-url",
            worked=worked,
        )

    async def close(self) -> None:
        """Let go of the connections."""
        await self.client.close()

    async def ask(self, question: Question, paid: list[Usage]) -> Reply[Verdict]:
        """A reply, after retries; MissingHere, BadInput or JobFailed when going on is no use.

        The tokens of every answer are added to `paid` as it comes: where this raises, nothing
        else tells of them.
        """
        said = await self.client.ask(
            question.text,
            parse_verdict,
            self._max_tokens,
            keep=lambda answer, _: paid.append(answer.usage),
        )
        return self._redacted(said)

    def read(self, answer: Answer, mode: str) -> Reply[Verdict]:
        """What an answer of a batch, asked in `mode`, says."""
        return self._redacted(self.client.read(answer, parse_verdict, mode))

    def _redacted(self, reply: Reply[Verdict]) -> Reply[Verdict]:
        if reply.value is not None:
            reply.value.reasoning = self.client.redact(reply.value.reasoning)
        return reply

    def _endpoint(self, spec: dict[str, Any], system: str) -> Endpoint:
        if spec.get("api") == "openai":
            return OpenAIEndpoint(
                model=spec["model"],
                base_url=spec["base_url"],
                system=system,
                schema=SCHEMA,
                deadline=spec["deadline"],
                key_variable=spec["key_variable"],
            )
        endpoint = AnthropicEndpoint(
            model=spec["model"],
            base_url=spec["base_url"],
            system=system,
            tool=TOOL,
            deadline=spec["deadline"],
            effort=EFFORT,
        )
        self.batches = AnthropicBatches(endpoint)
        return endpoint
