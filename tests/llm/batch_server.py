"""Message batches on the loopback server: taken, worked on for some looks, results in any order."""

import datetime
import json
from collections.abc import Callable
from typing import Any

from tests.llm.endpoint_server import Answer, Asked, EndpointServer, error

Result = dict[str, Any]


def succeeded(answer: Answer) -> Result:
    assert answer is not None
    return {"type": "succeeded", "message": answer[2]}


def errored(kind: str, said: str = "no") -> Result:
    return {
        "type": "errored",
        "error": {"type": "error", "request_id": None, "error": {"type": kind, "message": said}},
    }


class Batches:
    """Gives a server the batches of the Messages API.

    `result` makes a request's result; `looks` is how often a batch is looked at before it ended.
    """

    def __init__(
        self, server: EndpointServer, result: Callable[[Asked], Result], *, looks: int = 1
    ) -> None:
        self.server, self.result, self.looks = server, result, looks
        self.sent: list[list[dict[str, Any]]] = []
        self.created: list[float] = []
        self.looked: list[int] = []
        # What a test puts in the way: called with (method, path), its answer goes out instead.
        self.instead: Callable[[str, str], tuple[Answer] | None] = lambda method, path: None
        # The same once a batch that was sent is there.
        self.instead_after: Callable[[str, str], tuple[Answer] | None] = lambda method, path: None
        server.other = self.answer

    def answer(self, method: str, path: str, body: Any) -> Answer:
        said = self.instead(method, path)
        if said is not None and method != "POST":
            return said[0]
        place = path.partition("?")[0].removeprefix("/v1/messages/batches").strip("/")
        if method == "POST":
            self.sent.append(body["requests"])
            self.created.append(datetime.datetime.now(datetime.UTC).timestamp())
            self.looked.append(0)
            # Whatever the client gets to hear, the batch is there.
            said = said or self.instead_after(method, path)
            return said[0] if said is not None else (200, {}, self.state(len(self.sent) - 1))
        if not place:
            newest = [self.state(n) for n in reversed(range(len(self.sent)))]
            return 200, {}, {"data": newest, "has_more": False, "first_id": None, "last_id": None}
        n = int(place.partition("/")[0].removeprefix("msgbatch_"))
        if n >= len(self.sent):
            return error(404, "not_found_error")
        if place.endswith("/results"):
            return 200, {"content-type": "application/x-jsonl"}, self.results(n)
        self.looked[n] += 1
        return 200, {}, self.state(n)

    def state(self, n: int) -> dict[str, Any]:
        ended = self.looked[n] > self.looks
        at = datetime.datetime.fromtimestamp(self.created[n], datetime.UTC).isoformat()
        counts = {"succeeded": 0, "errored": 0, "canceled": 0, "expired": 0, "processing": 0}
        counts["succeeded" if ended else "processing"] = len(self.sent[n])
        url = f"{self.server.url}/v1/messages/batches/msgbatch_{n}/results"
        return {
            "id": f"msgbatch_{n}",
            "type": "message_batch",
            "processing_status": "ended" if ended else "in_progress",
            "request_counts": counts,
            "created_at": at,
            "expires_at": at,
            "ended_at": at if ended else None,
            "archived_at": None,
            "cancel_initiated_at": None,
            "results_url": url if ended else None,
        }

    def results(self, n: int) -> bytes:
        lines = [
            {
                "custom_id": request["custom_id"],
                "result": self.result(Asked(request["params"], {}, at)),
            }
            for at, request in enumerate(self.sent[n])
        ]
        # In no order of ours.
        lines.sort(key=lambda line: str(line["custom_id"])[::-1])
        return b"".join(json.dumps(line).encode() + b"\n" for line in lines)
