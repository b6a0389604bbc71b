"""Faults put into the trainer, for what no config can provoke."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def fault(name: str) -> Iterator[None]:
    """The trainer with a fault in it while the block runs; '' is none."""
    from tuiwb.train import sft

    if not name:
        yield
        return
    whole = sft.Trainer
    sft.Trainer = FAULTS[name](whole)  # type: ignore[misc]
    try:
        yield
    finally:
        sft.Trainer = whole  # type: ignore[misc]


def _zero_adapter(whole: type[Any]) -> type[Any]:
    """lora_A starts at zero beside a lora_B that does: no gradient reaches either."""

    class Zero(whole):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            for key, weights in self.model.named_parameters():
                if "lora_" in key:
                    weights.data.zero_()

    return Zero


def _frozen_adapter(whole: type[Any]) -> type[Any]:
    """The optimiser holds weights that are not the adapter's."""

    class Frozen(whole):
        def create_optimizer(self, *args: Any, **kwargs: Any) -> Any:
            import torch

            self.optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
            return self.optimizer

    return Frozen


def _slow_loader(whole: type[Any]) -> type[Any]:
    """After 20 steps each batch comes a second late, as from a disk that others use too."""

    class Slow(whole):
        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            if self.state.global_step >= 20:
                time.sleep(1.0)
            return super().training_step(*args, **kwargs)

    return Slow


def _out_of_memory(whole: type[Any]) -> type[Any]:
    """The fifth step asks for more memory than there is."""

    class Full(whole):
        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            if self.state.global_step >= 4:
                import torch

                raise torch.OutOfMemoryError(
                    "CUDA out of memory. Tried to allocate 1.25 GiB. GPU 0 has a total capacity "
                    "of 23.6 GiB of which 0.9 GiB is free."
                )
            return super().training_step(*args, **kwargs)

    return Full


FAULTS = {
    "zero_adapter": _zero_adapter,
    "frozen_adapter": _frozen_adapter,
    "slow_loader": _slow_loader,
    "out_of_memory": _out_of_memory,
}
