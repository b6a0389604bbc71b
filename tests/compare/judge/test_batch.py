"""Judging in message batches, the real SDK against a loopback server that takes them."""

import os
import signal
import time

import pytest
from msgspec import structs

from tests.compare.builders import kill_worker, wait_until
from tests.compare.judge_server import CALLS, SECRET, Asked, error, honest, message
from tests.llm.batch_server import Batches, errored, succeeded
from tuiwb import jobs
from tuiwb.compare.completions import COMPLETIONS, Completion, read_completions
from tuiwb.compare.judge import batch_log as log
from tuiwb.compare.judge.batch_log import BATCHES, Sending
from tuiwb.compare.judge.choices import judge_offer
from tuiwb.compare.judge.plan import (
    all_questions,
    completions_of,
    estimate,
    plan_judge,
    plan_judges,
    prepare_judge,
    start_judge,
)
from tuiwb.compare.judge.protocol import VERDICTS, read_verdicts
from tuiwb.compare.judge.summary import read_judge_summary, read_judges
from tuiwb.errors import BadInput
from tuiwb.jobs.lines import append_lines
from tuiwb.jobs.run import main

SOON = {"poll": 0.01}
pytestmark = pytest.mark.usefixtures("judge_key")


@pytest.fixture
def batches(server):
    return Batches(server, lambda asked: succeeded(honest(asked)))


def test_one_call_proves_the_endpoint_and_the_rest_goes_as_a_batch_at_half_price(
    judged, server, batches
):
    folder, state = judged(SOON, batch=True)
    assert state.state == "finished", state.message
    assert (len(server.asked), len(batches.sent)) == (1, 1)
    requests = batches.sent[0]
    assert len({request["custom_id"] for request in requests}) == len(requests) == CALLS - 1
    assert all(len(request["custom_id"]) == 64 for request in requests)
    system = requests[0]["params"]["system"]
    assert system[0]["cache_control"] == {"type": "ephemeral"}
    assert server.asked[0].body["system"] == system
    summary = read_judge_summary(folder)
    assert summary.trusted, summary.doubts
    assert (summary.preference.counts.wins, summary.batched) == (6, CALLS - 1)
    each = (400 * 2 + 60 * 10) / 1e6
    assert summary.usd == pytest.approx(each + (CALLS - 1) * each / 2)
    assert log.pending(log.read(folder / BATCHES)) == []
    verdicts, _ = read_verdicts(folder / VERDICTS)
    assert {v.batch for v in verdicts.values()} == {"", "msgbatch_0"}
    server.asked = []
    assert judged(SOON, batch=True)[1].state == "finished"
    assert (len(server.asked), len(batches.sent)) == (0, 1)


def test_pairs_of_the_same_texts_are_asked_and_paid_once(judged, server, batches, answered):
    rows = read_completions(answered)
    again = [structs.replace(row, id=f"again{row.index}", index=8 + row.index) for row in rows[:3]]
    append_lines(answered / COMPLETIONS, again)
    folder, state = judged(SOON, batch=True)
    assert state.state == "finished", state.message
    ids = [request["custom_id"] for request in batches.sent[0]]
    assert len(set(ids)) == len(ids) == CALLS - 1
    summary = read_judge_summary(folder)
    assert (summary.pairs, summary.open, summary.calls) == (11, 0, CALLS)
    assert (summary.preference.counts.wins, summary.preference.counts.ties) == (9, 2)
    assert state.progress.total == CALLS
    assert estimate(jobs.load(folder).spec).cached == CALLS


@pytest.mark.slow
def test_a_batch_outlives_a_killed_job_and_is_not_sent_again(judged, server, batches, project):
    batches.looks = 10**9
    spec = {**plan_judge(project, "support-v1", base_url=server.url, batch=True), **SOON}
    folder = start_judge(spec)
    wait_until(lambda: batches.sent and batches.looked[0] > 2)
    kill_worker(folder)
    wait_until(lambda: not jobs.status(folder).running)
    waiting = estimate(spec)
    assert (waiting.calls, waiting.waiting, waiting.cached) == (0, CALLS - 1, 1)
    assert f"{CALLS - 1} more are in a batch already" in waiting.sentence
    batches.looks = 0
    folder, state = judged(SOON, batch=True)
    assert state.state == "finished", state.message
    assert (len(batches.sent), len(server.asked)) == (1, 1)
    assert read_judge_summary(folder).trusted
    assert SECRET not in (folder / BATCHES).read_text()


def test_what_waits_in_a_batch_is_not_asked_one_by_one_either(judged, server, batches):
    batches.looks = 10**9
    batches.instead = lambda method, path: (error(401),) if method == "GET" else None
    folder, state = judged(SOON, batch=True)
    assert (state.state, len(batches.sent)) == ("failed", 1)
    assert "refused the key (401)" in state.message
    batches.looks, batches.instead = 0, lambda method, path: None
    # Another budget is another job: the batch goes along.
    folder, state = judged(SOON, max_usd=4.0)
    assert state.state == "finished", state.message
    assert (len(batches.sent), len(server.asked)) == (1, 1)
    assert read_judge_summary(folder).batched == CALLS - 1


def test_a_batch_sent_from_another_judges_folder_is_collected_not_sent_again(
    judged, server, batches, project, answered
):
    batches.instead = lambda method, path: (error(401),) if method == "GET" else None
    assert judged(SOON, batch=True, model="first")[1].state == "failed"
    batches.instead = lambda method, path: None
    specs = plan_judges(
        project, "support-v1", judges=["second", "first"], base_url=server.url, batch=True
    )
    assert [(e.calls, e.waiting) for e in map(estimate, specs)] == [(CALLS, 0), (0, CALLS - 1)]
    for spec in specs:
        assert main(prepare_judge({**spec, **SOON})) == 0
    models = [sent[0]["params"]["model"] for sent in batches.sent]
    assert models == ["first", "second"]
    assert [summary.trusted for summary in read_judges(answered.parent)] == [True, True]


@pytest.mark.parametrize("answer", [None, error(502)], ids=["cut", "gateway"])
def test_a_batch_whose_sending_got_no_answer_is_found_again(judged, server, batches, answer):
    cut: list[str] = []

    def instead(method: str, path: str):
        if method == "POST" and not cut:
            cut.append(path)
            return (answer,)
        return None

    batches.instead = instead
    folder, state = judged(SOON, batch=True)
    assert state.state == "finished", state.message
    assert (len(cut), len(batches.sent)) == (1, 1)
    assert read_judge_summary(folder).trusted


def test_another_judges_batch_of_the_same_size_is_not_taken_for_ours(
    judged, server, batches, project
):
    batches.instead = lambda method, path: (error(401),) if method == "GET" else None
    assert judged(SOON, batch=True, model="first")[1].state == "failed"
    batches.instead = lambda method, path: (None,) if method == "POST" else None
    _, spec = plan_judges(
        project, "support-v1", judges=["first", "second"], base_url=server.url, batch=True
    )
    folder = prepare_judge({**spec, **SOON})
    assert main(folder) == 0
    assert [sent[0]["params"]["model"] for sent in batches.sent] == ["first", "second"]
    assert read_judge_summary(folder).batched == CALLS - 1


def test_when_the_first_batch_found_is_not_ours_the_next_is_looked_at(judged, server, batches):
    def instead(method: str, path: str):
        if method == "POST":
            # Another program's, of the same size and a moment older.
            other = [{**request, "custom_id": f"o{n}"} for n, request in enumerate(batches.sent[0])]
            batches.sent.insert(0, other)
            batches.created.insert(0, batches.created[0])
            batches.looked.insert(0, 0)
            return (None,)
        return None

    batches.result = lambda asked: succeeded(honest(asked))
    batches.instead_after = instead
    folder, state = judged(SOON, batch=True)
    assert state.state == "finished", state.message
    assert len(batches.sent) == 2
    assert read_judge_summary(folder).batched == CALLS - 1


def test_a_batch_on_record_that_never_went_out_is_sent_once(judged, server, batches):
    batches.instead = lambda method, path: (error(401),) if method == "POST" else None
    folder, state = judged(SOON, batch=True)
    assert state.state == "failed"
    batches.instead = lambda method, path: None
    batches.sent, batches.created, batches.looked = [], [], []
    spec = jobs.load(folder).spec
    keys = [question.key for question in all_questions(spec, completions_of(spec))][1:]
    log.write(folder / BATCHES, Sending(n=7, keys=keys, mode="schema", t=time.time()))
    folder, state = judged(SOON, batch=True)
    assert state.state == "finished", state.message
    assert len(batches.sent) == 1
    notes = [r.note for r in log.read(folder / BATCHES) if isinstance(r, log.Settled)]
    assert "it never went out" in notes


def test_a_batch_of_somebody_else_is_not_taken_for_ours(judged, server, batches):
    cut: list[str] = []

    def instead(method: str, path: str):
        if method == "POST" and not cut:
            cut.append(path)
            return (None,)
        if method == "GET" and len(cut) == 1:
            # Ours never arrived; another program of this account sent one of the same size.
            cut.append(path)
            batches.sent[0] = [
                {**request, "custom_id": f"other-{n}"} for n, request in enumerate(batches.sent[0])
            ]
        return None

    batches.instead = instead
    folder, state = judged(SOON, batch=True)
    assert state.state == "finished", state.message
    assert len(batches.sent) == 2
    assert read_judge_summary(folder).trusted


def test_results_that_are_no_verdicts_go_into_at_most_three_batches(judged, server, batches):
    def result(asked: Asked):
        match asked.data["task"]:
            case "question 0":
                return {"type": "expired"}
            case "question 1":
                return succeeded(message("no JSON"))
            case "question 2":
                return errored("invalid_request_error", "prompt is too long\udc80")
            case "question 4":
                return succeeded(message("", stop="refusal"))
            case "question 5" if asked.body["max_tokens"] == 1024:
                return succeeded(message("{", stop="max_tokens"))
            case "question 7" if len(batches.sent) == 1:
                return errored("api_error")
        return succeeded(honest(asked))

    batches.result = result
    folder, state = judged(SOON, batch=True)
    assert state.state == "finished", state.message
    # 0, 1, 5 and 7 again in both orders; then 0 and 1 alone.
    assert [len(sent) for sent in batches.sent] == [CALLS - 1, 8, 4]
    assert {r["params"]["max_tokens"] for r in batches.sent[1]} == {1024, 2048}
    summary = read_judge_summary(folder)
    assert (summary.invalid, summary.preference.counts.wins) == (4, 2)
    assert not summary.trusted
    _, failures = read_verdicts(folder / VERDICTS)
    assert {f.reason for f in failures} >= {
        "expired",
        "refusal",
        "errored: invalid_request_error: prompt is too long?",
    }
    assert len(failures) == 2 * (3 + 3 + 1 + 1 + 1 + 1)


def test_a_batch_holds_no_more_than_the_budget_surely_covers(judged, server, batches):
    # The longest answers would cost $0.005 each in a batch; they cost $0.0007.
    folder, state = judged(SOON, batch=True, max_usd=0.06)
    summary = read_judge_summary(folder)
    assert state.state == "finished"
    assert len(batches.sent) > 1
    assert len(batches.sent[0]) < CALLS - 1
    assert (summary.budget_reached, summary.open) == (False, 0)
    assert summary.usd <= 0.06


def test_a_budget_that_covers_no_call_for_sure_sends_no_batch(judged, server, batches):
    folder, state = judged(SOON, batch=True, max_usd=0.004)
    assert state.state == "finished"
    assert batches.sent == []
    assert read_judge_summary(folder).budget_reached


def test_looks_that_fail_are_repeated(judged, server, batches):
    troubles = [error(500), error(429), None, (200, {}, b"<html>")]
    looks = [*troubles]
    results = [*troubles]

    def instead(method: str, path: str):
        left = results if path.endswith("/results") else looks
        return (left.pop(),) if method == "GET" and left else None

    batches.instead = instead
    folder, state = judged(SOON, batch=True)
    assert state.state == "finished", state.message
    assert (looks, results, len(batches.sent)) == ([], [], 1)
    assert read_judge_summary(folder).batched == CALLS - 1


def test_an_endpoint_that_lost_the_batch_says_what_to_do(judged, server, batches):
    batches.instead = lambda method, path: (error(404),) if method == "GET" else None
    _, state = judged(SOON, batch=True)
    assert state.state == "failed"
    assert "knows no batch msgbatch_0 (404)" in state.message
    assert BATCHES in state.message


@pytest.mark.parametrize("elsewhere", ["http://127.0.0.1:1/results", 7])
def test_results_are_had_from_the_endpoint_that_was_named_wherever_it_says_they_lie(
    judged, server, batches, elsewhere
):
    told = batches.state

    def state(n: int):
        said = told(n)
        return said | {"results_url": elsewhere if said["results_url"] else None}

    batches.state = state
    folder, ended = judged(SOON, batch=True)
    assert ended.state == "finished", ended.message
    assert read_judge_summary(folder).batched == CALLS - 1


def test_stopping_leaves_the_batch_at_work(judged, server, batches):
    batches.looks = 10**9
    stopped: list[str] = []

    def instead(method: str, path: str):
        if method == "GET" and not stopped:
            stopped.append(path)
            os.kill(os.getpid(), signal.SIGTERM)
        return None

    batches.instead = instead
    folder, state = judged(SOON, batch=True)
    assert state.state == "cancelled"
    assert "msgbatch_0" in state.message
    assert len(log.pending(log.read(folder / BATCHES))) == 1


def test_an_endpoint_without_batches_is_not_asked_for_one(judged, server):
    with pytest.raises(BadInput, match="takes no batches"):
        judged(model=f"openai:{server.url}#some-model", batch=True)


def test_a_batch_is_offered_above_200_calls_and_says_what_it_saves(project, answered, judged):
    offer = judge_offer(project, "support-v1", base_url="http://127.0.0.1:9")
    assert (offer.batch, offer.cost.offer) == ("", "")
    append_lines(
        answered / COMPLETIONS,
        [
            Completion(id=f"more{i}", index=8 + i, line=9 + i, prompt=[], base="a", adapter=f"b{i}")
            for i in range(100)
        ],
    )
    offer = judge_offer(project, "support-v1", base_url="http://127.0.0.1:9")
    assert offer.cost.calls == 216
    assert f"about ${offer.cost.usd / 2:.2f}, half" in offer.batch
    assert "106 pairs in both orders" in offer.pairs
    assert "2 are identical" in offer.pairs
    batch = judge_offer(project, "support-v1", base_url="http://127.0.0.1:9", batch=True)
    assert batch.cost.usd == pytest.approx(offer.cost.usd / 2)
    assert (batch.batch, "half price" in batch.cost.sentence) == ("", True)
    local = judge_offer(project, "support-v1", model="openai:http://127.0.0.1:9#tiny")
    assert (local.batch, local.cost.usd) == ("", None)
