"""One question to the judge: the verdict's schema over the shared client of endpoints."""

from typing import Any

from tuiwb.compare.judge import SCHEMA, Question, Verdict, parse_verdict
from tuiwb.llm.anthropic_endpoint import AnthropicEndpoint
from tuiwb.llm.client import Client, Reply

TOOL = {
    "name": "verdict",
    "description": "Give the verdict on the two responses.",
    "input_schema": SCHEMA,
}


class JudgeClient:
    """Asks one endpoint; the key comes from the environment and appears in no message."""

    def __init__(self, spec: dict[str, Any], system: str, worked: str = "") -> None:
        """`worked` is the mode of an earlier verdict from this endpoint: it need prove nothing."""
        self._max_tokens = spec["max_tokens"]
        endpoint = AnthropicEndpoint(
            model=spec["model"],
            base_url=spec["base_url"],
            system=system,
            tool=TOOL,
            deadline=spec["deadline"],
            effort="low",
        )
        self._client = Client(
            endpoint,
            model=spec["model"],
            deadline=spec["deadline"],
            concurrency=spec["concurrency"],
            who="the judge",
            worked=worked,
        )

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.close()

    async def ask(self, question: Question) -> Reply[Verdict]:
        """A reply, after retries; MissingHere, BadInput or JobFailed when going on is no use."""
        reply = await self._client.ask(question.text, parse_verdict, self._max_tokens)
        if reply.value is not None:
            reply.value.reasoning = self._client.redact(reply.value.reasoning)
        return reply
