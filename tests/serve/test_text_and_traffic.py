"""Tokens to text, requests to types, metrics to numbers: the pure parts."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuiwb.serve.builtin.metrics import Counters
from tuiwb.serve.builtin.protocol import RequestError, read_request
from tuiwb.serve.builtin.text_stream import TextStream
from tuiwb.serve.traffic import read_traffic


def decode(ids: list[int]) -> str:
    """A byte-level tokenizer: a token is a byte."""
    return bytes(ids).decode("utf-8", "replace")


@given(st.binary(max_size=60))
def test_pieces_join_to_the_decoding_of_all_tokens_even_for_broken_bytes(data: bytes) -> None:
    stream = TextStream(lambda ids: decode(list(ids)))
    pieces = [stream.push(byte) for byte in data]
    assert "".join(pieces) + stream.finish() == decode(list(data))


@given(st.text(max_size=30))
def test_a_character_is_never_shown_before_its_last_byte(text: str) -> None:
    text = text.replace("\N{REPLACEMENT CHARACTER}", "")
    text = text.encode("utf-8", "ignore").decode()
    stream = TextStream(lambda ids: decode(list(ids)))
    pieces = [stream.push(byte) for byte in text.encode()]
    assert all("\N{REPLACEMENT CHARACTER}" not in piece for piece in pieces)
    assert "".join(pieces) == text


@given(st.text("ab", max_size=20), st.lists(st.text("ab", min_size=1, max_size=4), max_size=3))
def test_the_text_ends_before_the_first_stop_string_wherever_it_falls(
    text: str, stops: list[str]
) -> None:
    stream = TextStream(lambda ids: decode(list(ids)), stops)
    got = ""
    for byte in text.encode():
        got += stream.push(byte)
        if stream.stopped:
            break
    got += stream.finish()
    ends = [end for s in stops for end in range(len(text) + 1) if text[:end].endswith(s)]
    if not ends:
        assert got == text
        assert not stream.stopped
    else:
        seen = text[: min(ends)]
        assert stream.stopped
        assert got == seen[: min(at for s in stops if (at := seen.find(s)) >= 0)]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": ""}, "model"),
        ({"temperature": 3}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"stop": [1]}, "stop"),
        ({"stop": ["a"] * 17}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"tools": [{}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"messages": [{"role": "user"}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0]"),
    ],
)
def test_a_wrong_parameter_is_named(body: dict[str, object], param: str) -> None:
    good = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    with pytest.raises(RequestError) as refused:
        read_request({**good, **body}, chat=True)
    assert refused.value.param == param


def test_text_parts_of_a_message_become_one_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    request = read_request(
        {"model": "m", "messages": [{"role": "user", "content": parts}]}, chat=True
    )
    assert request.messages == [{"role": "user", "content": "ab"}]


def test_counters_come_back_from_their_own_text_with_hostile_names() -> None:
    counters = Counters()
    name = 'a"b\\c\nd'
    for outcome in ("ok", "error"):
        counters.ended(
            name,
            outcome,
            prompt_tokens=3,
            generated_tokens=4,
            first_token_seconds=0.2,
            seconds=0.5,
        )
    traffic = read_traffic(counters.text({"tuiwb_requests_running": 2}))
    model = traffic.models[name]
    assert (traffic.running, model.requests, model.errors) == (2, 2, 1)
    assert (model.prompt_tokens, model.generated_tokens) == (6, 8)
    assert model.first_token_p50 == pytest.approx(0.2)
    assert model.request_mean == pytest.approx(0.5)


@given(st.lists(st.floats(0.001, 100), min_size=1, max_size=40))
def test_median_and_95th_percentile_of_the_first_token_are_times_that_were_measured(
    seconds: list[float],
) -> None:
    counters = Counters()
    for value in seconds:
        counters.ended(
            "m", "ok", prompt_tokens=0, generated_tokens=0, first_token_seconds=value, seconds=value
        )
    traffic = read_traffic(counters.text({}))
    ordered = sorted(seconds)
    assert traffic.first_token_p50 == ordered[math.ceil(0.5 * len(ordered)) - 1]
    assert traffic.first_token_p95 == ordered[math.ceil(0.95 * len(ordered)) - 1]
    assert traffic.models["m"].first_token_p50 == traffic.first_token_p50


def test_one_request_has_one_time_to_the_first_token_wherever_it_is_told() -> None:
    counters = Counters()
    counters.ended(
        "m", "ok", prompt_tokens=1, generated_tokens=1, first_token_seconds=0.015, seconds=0.1
    )
    traffic = read_traffic(counters.text({}))
    told = (traffic.first_token_p50, traffic.first_token_p95, traffic.models["m"].first_token_p50)
    assert told == (0.015, 0.015, 0.015)
    assert read_traffic(Counters().text({})).first_token_p50 is None


def test_vllm_gauges_are_read_and_broken_lines_passed_over() -> None:
    text = (
        '# HELP x\nvllm:num_requests_running{engine="0",model_name="m"} 3.0\n'
        'vllm:num_requests_waiting{engine="0"} 1.0\nvllm:kv_cache_usage_perc{engine="0"} 0.25\n'
        "nonsense\nx{ 1\nvllm:num_requests_running{} abc\n"
    )
    traffic = read_traffic(text)
    assert (traffic.running, traffic.waiting, traffic.kv_used) == (3, 1, 0.25)
