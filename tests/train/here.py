"""A run's worker in the tests' own process."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tuiwb import jobs
from tuiwb.jobs.run import main


@contextmanager
def workers_here() -> Iterator[None]:
    """Within it the worker's own main runs in this process, where its libraries are loaded once: a
    process of its own costs seven seconds each, and is for other tests to show."""
    import torch

    threads, environment = torch.get_num_threads(), dict(os.environ)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(jobs, "launch", lambda folder, **_: main(folder))
            # One thread: several spin while they wait, where a worker's own environment forbids it.
            patch.setattr(os, "sched_getaffinity", lambda _: {0})
            yield
    finally:
        torch.set_num_threads(threads)
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
