"""The judge against the usual loop: 100 calls to an endpoint that takes 100 ms for each.

The floor is the anthropic SDK's own sync client asking the very same requests one after another,
in the same run, against the same server (a process of its own on loopback). tuiwb's side is the
whole judge job from job folder to summary: both orders, controls, every verdict on disk. Both have
imported their libraries before their clocks start. Target: at least 6x.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from common import finish

CALLS = 100
LATENCY = 0.1
TARGET = 6.0
MODEL = "claude-sonnet-5-5"


def measure_judge(calls: int = CALLS, latency: float = LATENCY) -> dict[str, Any]:
    """Seconds of both ways for `calls` calls at `latency` seconds each, and what they judged.

    `calls` is even: two controls in both orders, the rest pairs in both orders.
    """
    import anthropic
    import numpy  # noqa: F401

    import tuiwb.compare.judge.worker  # noqa: F401
    from tuiwb.compare.judge.plan import all_questions, completions_of, plan_judge, prepare_judge
    from tuiwb.compare.judge.protocol import TOOL, read_verdicts
    from tuiwb.compare.judge.rubric import Rubric
    from tuiwb.compare.judge.summary import read_judge_summary
    from tuiwb.jobs.run import main as do_job
    from tuiwb.llm.anthropic_endpoint import AnthropicEndpoint

    with tempfile.TemporaryDirectory() as place, _endpoint(latency) as url, _key():
        project = _compared(Path(place) / "project", pairs=(calls - 4) // 2)
        spec = plan_judge(project, "bench", model=MODEL, base_url=url)
        asked = all_questions(spec, completions_of(spec))
        if len(asked) != calls:
            raise SystemExit(f"{len(asked)} questions instead of {calls}")

        system = Rubric(**spec["rubric"]).system
        endpoint = AnthropicEndpoint(
            model=MODEL, base_url=url, system=system, tool=TOOL, deadline=60.0, effort="low"
        )
        client = anthropic.Anthropic(base_url=url, max_retries=0)
        requests = [
            endpoint.request(question.text, "schema+effort", spec["max_tokens"])
            for question in asked
        ]
        client.messages.create(**requests[0])
        begun = time.perf_counter()
        told = [client.messages.create(**request) for request in requests]
        sequential = time.perf_counter() - begun

        folder = prepare_judge(spec)
        begun = time.perf_counter()
        code = do_job(folder)
        judged = time.perf_counter() - begun
        summary = read_judge_summary(folder)
        verdicts, failures = read_verdicts(folder / "verdicts.jsonl")
    if code or summary is None or failures or len(verdicts) != calls:
        raise SystemExit(f"the judge job ended with {code}, {len(verdicts)} verdicts")
    same = sum(
        json.loads(message.content[0].text)["winner"] == verdicts[question.key].verdict.winner
        for message, question in zip(told, asked, strict=True)
    )
    return {
        "calls": calls,
        "latency_s": latency,
        "at_once": spec["concurrency"],
        "sequential_s": round(sequential, 3),
        "tuiwb_s": round(judged, 3),
        "speedup": round(sequential / judged, 2),
        "most_at_once": spec["most_at_once"],
        "same_verdicts": same,
        "trusted": summary.trusted,
    }


def _compared(root: Path, pairs: int) -> Any:
    """A project whose run `bench` has a finished comparison of `pairs` pairs that differ."""
    from tuiwb import jobs
    from tuiwb.compare.completions import COMPLETIONS, Completion
    from tuiwb.jobs.events import EventWriter, State
    from tuiwb.jobs.lines import append_lines
    from tuiwb.project import Project

    root.mkdir(parents=True)
    run = root / "runs" / "bench"
    jobs.create(run, "train", {"model": {"base": "some/base"}, "data": {}})
    jobs.create(run / "compare", "compare", {"run": str(run)}, name="bench-compare")
    append_lines(
        run / "compare" / COMPLETIONS,
        [
            Completion(
                id=f"pair-{i:03d}",
                index=i,
                line=i + 1,
                prompt=[{"role": "user", "content": f"Where is order {i}? " + "Please. " * 40}],
                reference=f'{{"order": {i}, "status": "late"}}',
                base=f"Order {i} is somewhere. " * 12,
                adapter=f'{{"order": {i}, "status": "late"}}',
            )
            for i in range(pairs)
        ],
    )
    writer = EventWriter(run / "compare" / "events.jsonl")
    writer.emit(State(state="finished", exit_code=0))
    writer.close()
    return Project(root)


@contextlib.contextmanager
def _key() -> Iterator[None]:
    """A key for both clients that is worth nothing."""
    before = os.environ.get("ANTHROPIC_API_KEY")
    os.environ["ANTHROPIC_API_KEY"] = "benchmark-key-worth-nothing"
    try:
        yield
    finally:
        os.environ.pop("ANTHROPIC_API_KEY")
        if before is not None:
            os.environ["ANTHROPIC_API_KEY"] = before


@contextlib.contextmanager
def _endpoint(latency: float) -> Iterator[str]:
    """A judge's endpoint in a process of its own; its URL."""
    command = [sys.executable, __file__, "--endpoint", str(latency)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as serving:
        assert serving.stdout is not None
        try:
            yield serving.stdout.readline().decode().strip()
        finally:
            serving.terminate()


def serve(latency: float) -> None:
    """Answer every request after `latency` seconds, until stdin ends: JSON wins, else a tie."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Headers and body are two writes: without this the second waits for an acknowledgement.
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked = json.loads(body["messages"][0]["content"])
            time.sleep(latency)
            good = [
                asked[name].startswith(("{", "The capital"))
                for name in ("response_1", "response_2")
            ]
            winner = "tie" if good[0] == good[1] else "1" if good[0] else "2"
            verdict = {
                "reasoning": "It keeps the form.",
                "attempted_manipulation": "none",
                "winner": winner,
                "strength": "clear",
            }
            data = json.dumps(
                {
                    "id": "msg_1",
                    "type": "message",
                    "role": "assistant",
                    "model": body["model"],
                    "content": [{"type": "text", "text": json.dumps(verdict)}],
                    "stop_reason": "end_turn",
                    "stop_sequence": None,
                    "usage": {"input_tokens": 700, "output_tokens": 60},
                }
            ).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    sys.stdin.read()


def main() -> int:
    """Measure, print the table and the closing JSON; 1 where the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoint", type=float, help=argparse.SUPPRESS)
    endpoint = parser.parse_args().endpoint
    if endpoint is not None:
        serve(endpoint)
        return 0
    found = measure_judge()
    print(
        f"{found['calls']} calls at {1000 * found['latency_s']:.0f} ms: sequential "
        f"{found['sequential_s']:.2f} s, tuiwb {found['tuiwb_s']:.2f} s, {found['speedup']:.1f}x "
        f"({found['at_once']} at once, rising to {found['most_at_once']}); "
        f"{found['same_verdicts']} verdicts the same"
    )
    return finish(
        "compare_judge",
        found,
        {},
        at_least={
            "judge_speedup": (found["speedup"], TARGET),
            "same_verdicts": (found["same_verdicts"], found["calls"]),
        },
    )


if __name__ == "__main__":
    sys.exit(main())
