"""Event logs as hypothesis makes them: every type, odd values, clocks that jump, broken lines."""

import math

from hypothesis import strategies as st

from tuiwb.jobs.events import (
    Alert,
    AnyEvent,
    Artifact,
    Device,
    Gpu,
    Host,
    Log,
    Metrics,
    Progress,
    Sample,
    State,
    encode,
)

NAMES = ("loss", "eval_loss", "num_tokens", "grad_norm", "rewards/margin", "a", "")
times = st.one_of(
    st.floats(0, 1000), st.sampled_from([0.0, 1.7e9, 1.7e9 + 10, 2.5e9, 1.7e9 + 4000])
)
values = st.one_of(st.floats(), st.sampled_from([math.nan, math.inf, 1.0, 2.0]))
metrics = st.builds(
    Metrics,
    t=times,
    step=st.one_of(st.integers(0, 30), st.integers(0, 2**40)),
    epoch=st.none() | st.floats(0, 9),
    total_steps=st.none() | st.integers(0, 99),
    values=st.one_of(
        st.dictionaries(st.sampled_from(NAMES), values, max_size=4),
        st.fixed_dictionaries({"loss": values, "num_tokens": values}),
    ),
)
states = st.builds(
    State,
    t=times,
    state=st.sampled_from(["queued", "starting", "running", "finished", "failed", "odd"]),
    phase=st.sampled_from(["", "training", "paused", "evaluating"]),
)
others = st.one_of(
    states,
    st.builds(
        Progress,
        t=times,
        phase=st.sampled_from(["training", "evaluating"]),
        done=st.floats(0, 9),
        unit=st.sampled_from(["steps", ""]),
    ),
    st.builds(
        Device,
        t=times,
        gpus=st.lists(
            st.builds(
                Gpu,
                index=st.integers(0, 3),
                memory_used=st.none() | st.integers(0, 99),
                memory_job=st.none() | st.integers(0, 99),
            ),
            max_size=2,
        ),
        host=st.none()
        | st.builds(
            Host,
            cpu=st.just(1.0),
            memory_used=st.integers(0, 9),
            memory_total=st.just(9),
            job_memory=st.integers(0, 9),
        ),
    ),
    st.builds(
        Artifact,
        t=times,
        kind=st.sampled_from(["checkpoint", "adapter"]),
        path=st.just("c"),
        step=st.none() | st.integers(0, 30),
    ),
    st.builds(Alert, t=times, rule=st.just("r"), severity=st.just("note"), evidence=st.text()),
    st.builds(Sample, t=times, text=st.text(max_size=9)),
    st.builds(Log, t=times, message=st.text(max_size=9)),
)
broken = st.sampled_from(
    [
        b"",
        b"null",
        b'{"type":"telepathy","v":9,"t":1}',
        b'{"type":"metrics","t":1,"values":{"loss":1}}',
        b'{"type":"metrics","t":1,"step":3,"values":{"loss":"much"}}',
        b'{"type":"metrics","t":1,"step":3,"values":{"loss":null,"new":1}}',
        b'{"type":"metrics","t":1,"step":4,"values":{"loss":1,"loss":2},"later":[1,{}]}',
        b'{"type":"metrics","t":1,"step":5,"values":null}',
        b'{"type":"log","mess',
        b'{"type":"device","host":',
        b'{"cpu":1,"memory_used":1,"memory_total":1}}',
        b'{"type":"log","message":"a"} {"type":"log","message":"b"}',
        b"\xff\xfe",
        b"[" * 3000,
    ]
)


def line_of(event: AnyEvent) -> bytes:
    """An event as it is written, without its end of line."""
    return encode(event)[:-1]


lines = st.lists(st.one_of(metrics.map(line_of), others.map(line_of), broken), max_size=40)
many_metrics = st.lists(metrics.map(line_of), min_size=1, max_size=60)
logs = st.one_of(lines, many_metrics).map(lambda found: b"".join(line + b"\n" for line in found))
