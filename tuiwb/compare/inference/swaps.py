"""Weights of the base that PEFT leaves changed when an adapter is switched off (worker side):
trained biases, and what PiSSA and OLoRA take away when they begin."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import torch


class Swap(msgspec.Struct):
    """A weight of the base that an adapter brings its own values of, outside its matrices."""

    parameter: Any
    base: Any
    own: Any


@contextlib.contextmanager
def swapped(swaps: Sequence[Swap]) -> Iterator[None]:
    """While it lasts, the adapter's own values stand in the base's place."""
    try:
        for swap in swaps:
            swap.parameter.data = swap.own
        yield
    finally:
        for swap in swaps:
            swap.parameter.data = swap.base


def values_of(model: Any) -> list[tuple[Any, Any]]:
    """The parameters with what they hold: PEFT puts new matrices in the place of the old ones, but
    writes biases where they are."""
    return [
        (p, p.data.clone() if name.endswith("bias") else p.data)
        for name, p in model.named_parameters()
        if ".lora_" not in name
    ]


def taken_back(before: list[tuple[Any, Any]]) -> list[Swap]:
    """What an adapter changed of these parameters, which get their values back."""
    swaps = []
    for parameter, base in before:
        own = parameter.data
        if own.data_ptr() != base.data_ptr() and not torch.equal(own, base):
            swaps.append(Swap(parameter, base, own))
            parameter.data = base
    return swaps
