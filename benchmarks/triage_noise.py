"""False alarms at losses made up: sound curves under noise of many kinds, no training."""

import math
import random
from collections import Counter
from collections.abc import Callable

from tuiwb.jobs.events import Metrics
from tuiwb.monitor.triage import Triage, cleared

SPEC = {
    "method": "sft",
    "data": {"heldout": "x"},
    "lora": {"r": 16, "lora_alpha": 32},
    "training": {"learning_rate": 2e-4, "max_grad_norm": 1.0, "optim": "adamw_torch_fused"},
}
RUNS = 30
LENGTHS = ((40, 1), (400, 1), (2000, 5))  # steps of the run, steps between two log entries
Loss = Callable[[int], float]


def curves(draw: random.Random) -> dict[str, Loss]:
    """Losses by step: falling from 2 to 1, or what large models show, a small fast fall."""

    def falling(step: int) -> float:
        return 1 + math.exp(-step / 50)

    return {
        "normal 5%": lambda s: falling(s) * (1 + draw.gauss(0, 0.05)),
        "normal 15%": lambda s: falling(s) * (1 + draw.gauss(0, 0.15)),
        "log-normal 30%": lambda s: falling(s) * math.exp(draw.gauss(0, 0.3)),
        "log-normal 50%": lambda s: falling(s) * math.exp(draw.gauss(0, 0.5)),
        "low, log-normal 70%": lambda s: (falling(s) - 0.9) * math.exp(draw.gauss(0, 0.7)),
        "fast, then flat": lambda s: 1.1 + 0.4 * math.exp(-s / 8) + draw.gauss(0, 0.08),
        "hardly, then flat": lambda s: 1.1 + 0.12 * math.exp(-s / 8) + draw.gauss(0, 0.08),
    }


def simulate() -> float:
    """Print which rules said more than a note; the share of all runs at which one did."""
    alarms = runs = 0
    for name in curves(random.Random(0)):
        said: Counter[str] = Counter()
        for total, every in LENGTHS:
            for seed in range(RUNS):
                loss = curves(random.Random(f"{name} {total} {seed}"))[name]
                entries = [
                    Metrics(step=s, total_steps=total, t=float(s), values={"loss": loss(s)})
                    for s in range(1, total, every)
                ]
                loud = {
                    a.rule
                    for a in Triage(SPEC).add(entries)
                    if a.severity != "note" and not cleared(a)
                }
                said.update(loud)
                alarms += bool(loud)
                runs += 1
        print(f"  {name:<20} {dict(said) or 'nothing'} of {RUNS * len(LENGTHS)}")
    return alarms / runs
