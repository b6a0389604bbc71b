"""Run by the Python that has vLLM: answers prompts of a base and its adapters, offline.

    python vllm_batch.py REQUEST.json ANSWERS.jsonl

Nothing of tuiwb is imported: that Python need not have it. REQUEST is {"model", "revision",
"dtype", "max_model_len", "max_lora_rank", "adapters": {name: folder}, "chunk", "temperature",
"prompts": [{"id", "side", "adapter": name or null, "ids", "limit", "stops", "seed"}]}. A line of
ANSWERS is {"id", "side", "ids", "stop": "eos" | "length", "seconds"}, written as a chunk ends.

On SIGTERM, which the kernel sends when the worker that started this has died, all of its session
ends: vLLM's engine and its workers are processes of their own, and would keep the GPU's memory.
"""

import json
import os
import signal
import sys
import time
from typing import Any


def main(request_path: str, answers_path: str) -> None:
    """Answer a request file's prompts, a chunk at a time, into an answers file."""
    # Only this Python has it.
    from vllm import LLM, SamplingParams  # type: ignore[import-not-found,unused-ignore]
    from vllm.lora.request import (  # type: ignore[import-not-found,unused-ignore]
        LoRARequest,
    )

    with open(request_path, encoding="utf-8") as file:
        asked: dict[str, Any] = json.load(file)
    options: dict[str, Any] = {
        "model": asked["model"],
        "revision": asked["revision"],
        "dtype": asked["dtype"],
        "max_model_len": asked["max_model_len"],
        "seed": 0,
        **asked["options"],
    }
    if asked["adapters"]:
        options["enable_lora"] = True
        # One more slot than adapters: with all of them taken, a batch that mixes base and adapter
        # rows gave base rows an adapter's weights (vLLM 0.32 on a CPU).
        options["max_loras"] = len(asked["adapters"]) + 1
        options["max_lora_rank"] = asked["max_lora_rank"]
    llm = LLM(**options)
    adapters = {
        name: LoRARequest(name, number, path)
        for number, (name, path) in enumerate(asked["adapters"].items(), start=1)
    }
    prompts = asked["prompts"]
    with open(answers_path, "a", encoding="utf-8") as out:
        for start in range(0, len(prompts), asked["chunk"]):
            chunk = prompts[start : start + asked["chunk"]]
            begun = time.perf_counter()
            found = llm.generate(
                [{"prompt_token_ids": prompt["ids"]} for prompt in chunk],
                [_sampling(SamplingParams, prompt, asked["temperature"]) for prompt in chunk],
                lora_request=[adapters.get(prompt["adapter"]) for prompt in chunk],
                use_tqdm=False,
            )
            seconds = time.perf_counter() - begun
            for prompt, result in zip(chunk, found, strict=True):
                said = result.outputs[0]
                ids = list(said.token_ids)
                line = {
                    "id": prompt["id"],
                    "side": prompt["side"],
                    "ids": ids,
                    "stop": "length" if said.finish_reason == "length" else "eos",
                    "seconds": seconds,
                    "shared_by": len(chunk),
                }
                out.write(json.dumps(line) + "\n")
            out.flush()


def end_with_the_session(main_process: int) -> None:
    """Make SIGTERM end this process and all that it started, where it leads its session."""

    def end(*_: object) -> None:
        if os.getpid() == main_process == os.getpgrp():
            os.killpg(main_process, signal.SIGKILL)
        # A fork that vLLM ends itself, or a script run by hand.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)


def _sampling(kind: Any, prompt: dict[str, Any], temperature: float) -> Any:
    return kind(
        temperature=temperature,
        seed=prompt["seed"],
        max_tokens=prompt["limit"],
        stop_token_ids=prompt["stops"],
        detokenize=False,
    )


if __name__ == "__main__":
    end_with_the_session(os.getpid())
    main(sys.argv[1], sys.argv[2])
