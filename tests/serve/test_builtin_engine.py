"""The built-in engine over HTTP, against plain transformers and PEFT on the same weights."""

import http.client
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.serve.waiting import until
from tuiwb.serve import proof
from tuiwb.serve.client import Client, ServerError
from tuiwb.serve.traffic import read_traffic

pytestmark = pytest.mark.slow

QUESTIONS = [
    "What is the capital of France?",
    "Hi!",
    "I ordered two blue lamps on Monday and only one of them has arrived. What should I do now?",
    "Tell me about the sea.",
    "How much is 3 plus 4?",
    "Who are you?",
    "My order 4711 is late",
    "Bye",
]


@pytest.fixture(scope="module")
def reference(base: Path, adapters: dict[str, Path]) -> dict[tuple[str, str], str]:
    """Greedy texts by (model, question) from one-at-a-time `generate` calls."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    texts = {}
    for name in ("tiny-chat", *adapters):
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        if name in adapters:
            model = PeftModel.from_pretrained(model, adapters[name])
        for question in QUESTIONS:
            prompt = tokenizer.apply_chat_template(
                [{"role": "user", "content": question}],
                add_generation_prompt=True,
                return_tensors="pt",
                return_dict=True,
            )
            ids = model.generate(**prompt, max_new_tokens=40, do_sample=False)
            texts[name, question] = tokenizer.decode(
                ids[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True
            )
    return texts


def ask(client: Client, model: str, question: str, **options: Any) -> str:
    messages = [{"role": "user", "content": question}]
    options = {"max_tokens": 40, "temperature": 0, **options}
    return client.complete(model, messages, **options).text


def raw(client: Client, method: str, path: str, body: bytes | None, **headers: str) -> Any:
    """A request no client of ours would send; returns (status, parsed body)."""
    address = client.url.removeprefix("http://")
    connection = http.client.HTTPConnection(address, timeout=180)
    try:
        headers = {"Content-Type": "application/json", **headers}
        connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_the_adapters_of_these_tests_change_the_greedy_texts(reference: Any) -> None:
    for question in QUESTIONS:
        assert len({reference[m, question] for m in ("tiny-chat", "first", "second")}) > 1


def test_a_mixed_batch_of_base_and_adapters_gives_each_its_own_greedy_text(
    client: Client, reference: dict[tuple[str, str], str]
) -> None:
    with ThreadPoolExecutor(len(reference)) as pool:
        got = dict(zip(reference, pool.map(lambda key: ask(client, *key), reference), strict=True))
    assert got == reference


def test_one_at_a_time_gives_the_same_greedy_texts(
    client: Client, reference: dict[tuple[str, str], str]
) -> None:
    keys = list(reference)[::5]
    assert {key: ask(client, *key) for key in keys} == {key: reference[key] for key in keys}


def test_a_stream_carries_the_same_text_in_pieces_and_ends_with_its_usage(
    client: Client, reference: dict[tuple[str, str], str]
) -> None:
    messages = [{"role": "user", "content": QUESTIONS[0]}]
    deltas = list(client.chat("first", messages, max_tokens=40, temperature=0))
    assert "".join(d.text for d in deltas) == reference["first", QUESTIONS[0]]
    assert sum(bool(d.text) for d in deltas) > 1
    assert [d.finish_reason for d in deltas if d.finish_reason] in (["stop"], ["length"])
    assert deltas[-1].prompt_tokens
    assert deltas[-1].completion_tokens


def test_a_client_that_vanishes_in_mid_stream_frees_its_row_and_hurts_nobody(
    client: Client, reference: dict[tuple[str, str], str]
) -> None:
    messages = [{"role": "user", "content": "Tell me about the sea."}]
    stream = client.chat("second", messages, max_tokens=900, temperature=0, ignore_eos=True)
    next(stream)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(ask, client, "first", QUESTIONS[2])
        stream.close()
        assert other.result() == reference["first", QUESTIONS[2]]
    until(lambda: read_traffic(client.metrics()).running == 0)
    assert 'tuiwb_requests_total{model="second",outcome="cancelled"}' in client.metrics()


def test_a_client_that_vanishes_while_it_waits_for_a_whole_answer_frees_its_row(
    client: Client,
) -> None:
    body = json.dumps(
        {"model": "first", "prompt": "Once", "max_tokens": 900, "ignore_eos": True}
    ).encode()
    host, port = client.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json"
            b"\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        until(lambda: read_traffic(client.metrics()).running == 1)
    until(lambda: read_traffic(client.metrics()).running == 0)


def test_twenty_at_once_all_get_answers(client: Client) -> None:
    models = ["tiny-chat", "first", "second"]
    with ThreadPoolExecutor(20) as pool:
        texts = list(
            pool.map(lambda i: ask(client, models[i % 3], f"Question {i}", max_tokens=8), range(20))
        )
    assert len(texts) == 20
    assert all(texts)


def test_a_seed_repeats_a_sample_and_a_temperature_changes_it(client: Client) -> None:
    def sample(seed: int) -> str:
        return ask(client, "tiny-chat", "Tell me about the sea.", temperature=1.5, seed=seed)

    assert sample(1) == sample(1)
    assert len({sample(seed) for seed in range(4)}) > 1


def test_stop_strings_end_the_text_before_them(
    client: Client, reference: dict[tuple[str, str], str]
) -> None:
    whole = reference["tiny-chat", QUESTIONS[0]]
    word = whole.split()[2]
    assert ask(client, "tiny-chat", QUESTIONS[0], stop=[word]) == whole[: whole.index(word)]


def test_the_models_list_names_base_and_adapters_with_parent_and_root(
    client: Client, adapters: dict[str, Path]
) -> None:
    found = {m.id: (m.parent, m.root) for m in client.models()}
    assert found["tiny-chat"][0] is None
    assert found["first"] == ("tiny-chat", str(adapters["first"]))


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/v1/chat/completions", b"{not json", 400, "not JSON"),
        ("/v1/chat/completions", b"[]", 400, "object"),
        ("/v1/chat/completions", b'{"messages": []}', 400, "model"),
        ("/v1/chat/completions", b'{"model": "tiny-chat", "messages": []}', 400, "messages"),
        ("/v1/chat/completions", b'{"model": "tiny-chat", "messages": [{"role": 1}]}', 400, "role"),
        ("/v1/completions", b'{"model": "nobody", "prompt": "a"}', 404, "does not exist"),
        ("/v1/completions", b'{"model": "tiny-chat", "prompt": [99999]}', 400, "token ids"),
        ("/v1/completions", b'{"model": "tiny-chat", "prompt": "a", "n": 2}', 400, "n:"),
        ("/v1/completions", b'{"model": "tiny-chat", "prompt": "a", "top_p": 0}', 400, "top_p"),
        (
            "/v1/completions",
            b'{"model": "tiny-chat", "prompt": "a", "max_tokens": 5000}',
            400,
            "max_tokens",
        ),
        (
            "/v1/completions",
            json.dumps({"model": "tiny-chat", "prompt": "word " * 3000}).encode(),
            400,
            "shorten",
        ),
        ("/v1/nothing", b"{}", 404, "there is no"),
        ("/v1/completions", b" " * (9 << 20), 413, "MiB"),
    ],
)
def test_bad_requests_get_an_error_object_and_the_server_lives_on(
    client: Client, path: str, body: bytes, status: int, words: str
) -> None:
    got, answer = raw(client, "POST", path, body)
    assert (got, answer["error"]["code"]) == (status, status)
    assert words in answer["error"]["message"]
    assert client.health()


def test_a_form_post_and_a_foreign_host_name_are_refused(client: Client) -> None:
    body = b'{"model": "tiny-chat", "prompt": "a"}'
    assert raw(client, "POST", "/v1/completions", body, Content_Type="text/plain")[0] == 415
    assert raw(client, "GET", "/v1/models", None, Host="evil.example")[0] == 403


def test_an_adapter_can_be_loaded_and_unloaded_while_others_are_answered(
    client: Client, adapters: dict[str, Path], reference: dict[tuple[str, str], str]
) -> None:
    messages = [{"role": "user", "content": "Tell me about the sea."}]
    stream = client.chat("second", messages, max_tokens=400, temperature=0, ignore_eos=True)
    next(stream)
    client.load_adapter("third", str(adapters["first"]))
    assert ask(client, "third", QUESTIONS[0]) == reference["first", QUESTIONS[0]]
    with pytest.raises(ServerError, match="already been loaded"):
        client.load_adapter("third", str(adapters["first"]))
    client.unload_adapter("third")
    with pytest.raises(ServerError, match="does not exist") as refused:
        ask(client, "third", "Hi")
    assert refused.value.status == 404
    with pytest.raises(ServerError, match="unload it when it is done"):
        client.unload_adapter("second")
    stream.close()


def test_a_bad_adapter_is_refused_with_its_reason_and_the_server_lives_on(
    client: Client, adapters: dict[str, Path], tmp_path: Path
) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "adapter_config.json").write_bytes(
        (adapters["first"] / "adapter_config.json").read_bytes()
    )
    whole = (adapters["first"] / "adapter_model.safetensors").read_bytes()
    (bad / "adapter_model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ServerError, match="cut short") as refused:
        client.load_adapter("bad", str(bad))
    assert refused.value.status == 400
    assert "bad" not in {m.id for m in client.models()}


def test_a_chat_too_long_for_the_server_does_not_keep_adapters_from_being_told_apart(
    client: Client, tmp_path: Path
) -> None:
    heldout = tmp_path / "heldout.jsonl"
    long = {"messages": [{"role": "user", "content": "where is my order? " * 4000}]}
    heldout.write_text(f"{json.dumps(long)}\n")
    chats = proof.candidates(str(heldout))
    assert len(chats) == 4
    assert proof.not_applied(client, "tiny-chat", ["first"], chats) == []
    with pytest.raises(ServerError, match="tokens"):
        proof.not_applied(client, "tiny-chat", ["first"], chats[:1])


def test_metrics_count_requests_tokens_and_waiting_by_model(client: Client) -> None:
    before = read_traffic(client.metrics()).models["first"]
    ask(client, "first", "Hi!", max_tokens=5)
    after = read_traffic(client.metrics())
    assert after.models["first"].requests == before.requests + 1
    assert 0 < after.models["first"].generated_tokens - before.generated_tokens <= 5
    assert after.first_token_p50 is not None


def test_logprobs_are_those_of_the_chosen_tokens(client: Client) -> None:
    messages = [{"role": "user", "content": "Hi!"}]
    delta = client.complete("tiny-chat", messages, max_tokens=5, temperature=0, logprobs=True)
    assert len(delta.logprobs) == delta.completion_tokens
    assert all(p <= 0 for p in delta.logprobs)
