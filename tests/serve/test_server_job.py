"""Server jobs as users meet them: planned, started detached, stopped, killed."""

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import msgspec
import pytest

from tests.serve.test_preflight import pair, write_safetensors
from tests.serve.waiting import until
from tuiwb import jobs
from tuiwb.errors import BadInput, JobFailed, MissingHere
from tuiwb.jobs.events import EventReader, State
from tuiwb.jobs.folder import EVENTS
from tuiwb.project import Project
from tuiwb.serve import plan, ports, servers
from tuiwb.serve.client import ServerError
from tuiwb.serve.spec import ServeSpec
from tuiwb.serve.traffic import read_traffic
from tuiwb.serve.vllm_engine import command_line

VLLM = os.environ.get("TUIWB_VLLM_PYTHON")
Q = "model.layers.0.self_attn.q_proj"


@pytest.fixture
def project(tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.delenv("TUIWB_VLLM_PYTHON", raising=False)
    monkeypatch.delenv("TUIWB_API_KEY", raising=False)
    root = tmp_path / "project"
    root.mkdir()
    (root / "tuiwb.yaml").write_text(f"name: test\nbase_model: {base}\n")
    found = Project(root)
    yield found
    for server in servers.servers(found):
        if servers.ask_to_stop(server) and server.state.pid:
            until(lambda server=server: not jobs.status(server.folder).running)


def trained(project: Project, name: str, adapter: Path, base: Path) -> str:
    """A finished training run that left `adapter`."""
    folder = project.runs / name
    jobs.create(folder, "train", {"model": {"base": str(base)}, "data": {}})
    (folder / "adapter").symlink_to(adapter)
    return name


def fake_adapter(folder: Path, shapes: dict[str, tuple[int, ...]], **config: object) -> Path:
    folder.mkdir(parents=True)
    plain = {"peft_type": "LORA", "r": 4, "bias": "none", **config}
    (folder / "adapter_config.json").write_text(json.dumps(plain))
    write_safetensors(folder / "adapter_model.safetensors", shapes)
    return folder


def can_listen(port: int) -> bool:
    try:
        return plan.choose_port("127.0.0.1", port) == port
    except BadInput:
        return False


def test_a_busy_port_is_refused_before_a_job_exists(project: Project) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        with pytest.raises(BadInput, match=f"port {port}: address already in use"):
            plan.plan(project, port=port, engine="builtin")
    assert project.job_folders() == []


def test_an_address_others_can_reach_needs_a_key_that_is_written_nowhere(
    project: Project, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    with pytest.raises(BadInput, match="TUIWB_API_KEY"):
        plan.plan(project, host="0.0.0.0", port=free_port, engine="builtin")
    monkeypatch.setenv("TUIWB_API_KEY", "very-secret")
    spec = plan.plan(project, host="0.0.0.0", port=free_port, engine="builtin")
    assert spec.api_key_env == "TUIWB_API_KEY"
    assert "very-secret" not in repr(spec)
    assert spec.url == f"http://127.0.0.1:{free_port}"


def test_an_adapter_of_another_base_is_refused_by_the_plan(
    project: Project, base: Path, tmp_path: Path
) -> None:
    adapter = fake_adapter(tmp_path / "other", pair(Q, 4, 99, 192))
    trained(project, "wrong", adapter, base)
    with pytest.raises(BadInput, match="trained on another base"):
        plan.plan(project, ["wrong"], engine="builtin")


def test_a_run_without_an_adapter_is_refused_with_its_state(project: Project, base: Path) -> None:
    jobs.create(project.runs / "young", "train", {"model": {"base": str(base)}})
    with pytest.raises(BadInput, match="no adapter"):
        plan.plan(project, ["young"], engine="builtin")


def test_a_new_content_gets_a_new_name_and_slots_leave_room_for_the_base(
    project: Project, base: Path, tmp_path: Path
) -> None:
    adapter = fake_adapter(tmp_path / "a", pair(Q, 4, 192, 192))
    trained(project, "run-v1", adapter, base)
    first = plan.plan(project, ["run-v1"], engine="builtin")
    assert first.adapters[0].name.startswith("run-v1@")
    assert first.max_loras >= 2
    assert first.max_lora_rank == 16
    (adapter / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 4, "lora_alpha": 9}')
    again = plan.plan(project, ["run-v1"], engine="builtin")
    assert again.adapters[0].name != first.adapters[0].name
    with pytest.raises(BadInput, match="twice"):
        plan.plan(project, ["run-v1", "run-v1"], engine="builtin")


def test_a_checkpoint_is_served_by_the_name_that_compare_knows_it_by(
    project: Project, base: Path, tmp_path: Path
) -> None:
    jobs.create(project.runs / "one", "train", {"model": {"base": str(base)}, "data": {}})
    checkpoint = project.runs / "one" / "checkpoints" / "checkpoint-20"
    checkpoint.parent.mkdir()
    fake_adapter(tmp_path / "a", pair(Q, 4, 192, 192)).rename(checkpoint)
    for word in ("one:checkpoint-20", "runs/one/checkpoints/checkpoint-20"):
        (adapter,) = plan.plan(project, [word], engine="builtin").adapters
        assert (adapter.run, adapter.path) == ("one:checkpoint-20", str(checkpoint.resolve()))
        assert adapter.name.startswith("one-checkpoint-20@")
    for word, says in (
        ("one:checkpoint-9", "no checkpoint 'checkpoint-9': there are checkpoint-20"),
        ("x" * 300, "no run named"),
        ("~no-such-user", "no home folder"),
    ):
        with pytest.raises(BadInput, match=says):
            plan.plan(project, [word], engine="builtin")


def test_a_base_that_changed_since_training_is_warned_of(
    project: Project, base: Path, tmp_path: Path
) -> None:
    adapter = fake_adapter(tmp_path / "a", pair(Q, 4, 192, 192))
    folder = project.runs / "old"
    jobs.create(
        folder,
        "train",
        {"model": {"base": str(base)}, "data": {}},
        fingerprints={str(base): "sha256:00"},
    )
    (folder / "adapter").symlink_to(adapter)
    (warning,) = plan.plan(project, ["old"], engine="builtin").warnings
    assert "files have changed" in warning


def test_a_python_without_vllm_is_said_to_lack_it(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(MissingHere, match="vLLM is not installed"):
        plan.find_vllm(project, required=True)
    monkeypatch.setenv("TUIWB_VLLM_PYTHON", str(tmp_path / "nowhere"))
    with pytest.raises(MissingHere, match="TUIWB_VLLM_PYTHON"):
        plan.plan(project)


def test_the_vllm_command_starts_with_no_adapter_and_a_time_to_drain(
    project: Project, base: Path
) -> None:
    spec = plan.plan(project, engine="builtin")
    spec.python, spec.engine, spec.gpu = "/some/python", "vllm", False
    words = command_line(spec)
    assert words[:4] == ["/some/python", "-m", "vllm.entrypoints.cli.main", "serve"]
    assert "--lora-modules" not in words
    assert "--api-key" not in words
    assert words[words.index("--dtype") + 1] == "float32"
    assert int(words[words.index("--shutdown-timeout") + 1]) > 0
    spec.gpu = True
    assert "float32" not in command_line(spec)
    assert "--enforce-eager" not in command_line(spec)


@pytest.mark.slow
def test_a_server_job_comes_up_answers_and_ends_by_sigterm_with_a_stream_open(
    project: Project, base: Path, adapters: dict[str, Path], free_port: int
) -> None:
    trained(project, "support", adapters["first"], base)
    spec = plan.plan(project, ["support"], engine="builtin", port=free_port)
    folder = plan.start(project, spec)
    server = servers.wait_ready(folder, 300)
    assert [m.id for m in server.models] == ["tiny-chat", spec.adapters[0].name]
    assert server.state.alerts == []
    # It asked base and adapter the same to tell them apart; nobody else asked anything yet.
    assert read_traffic(server.client().metrics()).models == {}
    stream = server.client().chat(
        spec.adapters[0].name,
        [{"role": "user", "content": "Hi"}],
        max_tokens=900,
        temperature=0,
        ignore_eos=True,
    )
    next(stream)
    assert server.state.pid is not None
    os.kill(server.state.pid, signal.SIGTERM)
    with pytest.raises(ServerError, match="stopping"):
        list(stream)
    ended = until(lambda: s if (s := jobs.status(folder)).state == "finished" else None)
    assert ended.ended is not None
    assert plan.choose_port("127.0.0.1", free_port) == free_port
    phases = [e.phase for e in EventReader(folder / EVENTS).read() if isinstance(e, State)]
    assert phases[:2] == ["loading libraries", "loading model"]
    assert "ready" in phases


def test_servers_that_are_made_at_once_get_a_folder_each(project: Project, base: Path) -> None:
    spec = msgspec.to_builtins(ServeSpec(engine="builtin", base=str(base), base_name="b"))
    together = threading.Barrier(4)

    def make(_: int) -> Path:
        together.wait()
        return plan.create(project, spec)

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(make, range(4)))
    assert {folder.name for folder in made} == {f"serve-{n}" for n in range(1, 5)}


def test_two_servers_that_start_at_once_settle_on_two_ports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    one = ports.hold("127.0.0.1", free_port, named=False)
    other = ports.hold("127.0.0.1", free_port, named=False)
    assert one.port == free_port
    assert other.port > free_port
    # Who named a port gets it tried, and the sentence where it is taken.
    assert ports.hold("127.0.0.1", free_port, named=True).port == free_port
    one.close()
    assert ports.hold("127.0.0.1", free_port, named=False).port == free_port


@pytest.mark.slow
def test_a_port_that_nobody_named_and_that_is_taken_by_then_gives_way_to_the_next(
    project: Project, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    # Not at 8000, where another program may begin to listen before the test does.
    monkeypatch.setattr(ports, "FIRST_PORT", free_port)
    spec = plan.plan(project, engine="builtin")
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", spec.port))
        busy.listen()
        folder = plan.start(project, spec)
        server = servers.wait_ready(folder, 300)
        assert server.spec.port > spec.port
        assert server.record is not None
        assert server.record.url == server.spec.url == servers.server_at(folder).spec.url
        assert [m.id for m in server.client().models()] == ["tiny-chat"]
        states = [e for e in EventReader(folder / EVENTS).read() if isinstance(e, State)]
        assert (states[-1].phase, states[-1].message) == ("ready", server.spec.url)


@pytest.mark.slow
def test_a_stop_while_the_model_loads_ends_the_job(project: Project, free_port: int) -> None:
    folder = plan.start(project, plan.plan(project, engine="builtin", port=free_port))
    assert servers.stop(servers.server_at(folder), 300).state == "finished"
    with pytest.raises(JobFailed, match="finished"):
        servers.wait_ready(folder, 5)


@pytest.mark.slow
def test_an_adapter_that_changes_nothing_raises_an_alert(
    project: Project, base: Path, tmp_path: Path, free_port: int
) -> None:
    adapter = fake_adapter(
        tmp_path / "zero", pair(Q, 4, 192, 192), target_modules=["q_proj"], task_type="CAUSAL_LM"
    )
    trained(project, "zero", adapter, base)
    folder = plan.start(project, plan.plan(project, ["zero"], engine="builtin", port=free_port))
    alerts = servers.wait_ready(folder, 300).state.alerts
    assert [alert.rule for alert in alerts] == ["adapter_not_applied"]


@pytest.mark.slow
def test_a_server_with_a_key_refuses_those_who_lack_it_and_when_killed_is_died_and_frees_its_port(
    project: Project, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    monkeypatch.setenv("TUIWB_API_KEY", "very-secret")
    spec = plan.plan(project, host="0.0.0.0", port=free_port, engine="builtin")
    folder = plan.start(project, spec)
    server = servers.wait_ready(folder, 300)
    assert server.client().models()
    monkeypatch.setenv("TUIWB_API_KEY", "wrong")
    with pytest.raises(ServerError, match="API key") as refused:
        server.client().models()
    assert refused.value.status == 401
    assert not any(b"very-secret" in p.read_bytes() for p in folder.rglob("*") if p.is_file())
    assert server.state.pid is not None
    os.kill(server.state.pid, signal.SIGKILL)
    until(lambda: jobs.status(folder).state == "died")
    until(lambda: can_listen(free_port))
    with pytest.raises(BadInput, match="no server is up"):
        servers.find(project, None)


@pytest.mark.slow
@pytest.mark.skipif(not VLLM, reason="TUIWB_VLLM_PYTHON names no Python that has vLLM")
def test_vllm_serves_the_same_texts_as_the_built_in_engine_and_leaves_nothing_behind(
    project: Project,
    base: Path,
    adapters: dict[str, Path],
    free_port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TUIWB_VLLM_PYTHON", str(VLLM))
    memory = set(os.listdir("/dev/shm"))
    trained(project, "support", adapters["first"], base)
    trained(project, "later", adapters["second"], base)
    texts = {}
    for engine in ("vllm", "builtin"):
        spec = plan.plan(project, ["support"], engine=engine, port=free_port)
        spec.probe_seconds = 2.0
        folder = plan.start(project, spec)
        server = servers.wait_ready(folder, 400)
        assert server.state.alerts == []
        later = servers.load_run(project, server, "later")
        names = ["tiny-chat", spec.adapters[0].name, later.id]
        client = server.client()
        questions = ["What is the capital of France?", "Hi!", "Tell me about the sea."]
        texts[engine] = [
            client.complete(
                name, [{"role": "user", "content": q}], max_tokens=30, temperature=0
            ).text
            for name in names
            for q in questions
        ]
        until(
            lambda folder=folder, name=later.id: (
                name in [m.id for m in servers.server_at(folder).models]
            )
        )
        if engine == "vllm":
            see_it_hang_and_recover(folder)
        assert servers.stop(server, 300).state == "finished"
    assert texts["vllm"] == texts["builtin"]
    assert set(os.listdir("/dev/shm")) <= memory


def see_it_hang_and_recover(folder: Path) -> None:
    """Freeze vLLM's engine process: /health stays 200, the probe tells."""
    import psutil

    pid = jobs.status(folder).pid
    engines = [
        p
        for p in psutil.Process(pid).children(recursive=True)
        if "EngineCore" in " ".join(p.cmdline())
    ]
    assert engines
    for process in engines:
        process.suspend()
    try:
        until(lambda: jobs.status(folder).phase == "degraded")
    finally:
        for process in engines:
            process.resume()
    until(lambda: jobs.status(folder).phase == "ready")


@pytest.mark.slow
@pytest.mark.skipif(not VLLM, reason="TUIWB_VLLM_PYTHON names no Python that has vLLM")
def test_a_crash_of_vllm_fails_the_job_and_a_killed_worker_takes_vllm_with_it(
    project: Project, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psutil

    monkeypatch.setenv("TUIWB_VLLM_PYTHON", str(VLLM))
    for whom in ("engine", "worker"):
        folder = plan.start(project, plan.plan(project, engine="vllm", port=free_port))
        server = servers.wait_ready(folder, 400)
        worker = psutil.Process(server.state.pid)
        family = worker.children(recursive=True)
        (worker if whom == "worker" else family[0]).kill()
        wanted = "died" if whom == "worker" else "failed"
        ended = until(
            lambda folder=folder, wanted=wanted: (
                s if (s := jobs.status(folder)).state == wanted else None
            ),
            60,
        )
        if whom == "engine":
            assert "crashed" in ended.message
        servers.ask_to_stop(servers.server_at(folder))
        until(lambda family=family: not any(p.is_running() for p in family))


def test_the_client_says_in_a_sentence_that_nobody_answers(free_port: int) -> None:
    from tuiwb.serve.client import Client

    client = Client(f"http://127.0.0.1:{free_port}")
    assert not client.health()
    with pytest.raises(ServerError, match="is the server running"):
        client.models()


def test_a_server_that_hangs_up_in_mid_stream_is_an_error_and_not_an_end(free_port: int) -> None:
    from tuiwb.serve.client import Client

    piece = b'data: {"choices":[{"index":0,"delta":{"content":"half"}}]}\n\n'
    with socket.create_server(("127.0.0.1", free_port)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
                connection.sendall(head + piece)

        thread = threading.Thread(target=answer)
        thread.start()
        stream = Client(f"http://127.0.0.1:{free_port}").chat("m", [])
        assert next(stream).text == "half"
        with pytest.raises(ServerError, match="before the answer was whole"):
            next(stream)
        thread.join()


def test_token_probabilities_that_are_no_numbers_are_an_alert_and_no_fault_of_ours(
    free_port: int,
) -> None:
    from tuiwb.serve import proof
    from tuiwb.serve.client import Client

    choice = b'{"message":{"content":"a"},"logprobs":{"content":[{"logprob":%s}]}}'

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers["Content-Length"]))
            # What JSON makes of NaN.
            said = b"null" if b'"broken"' in asked else b"-0.5" if b'"base"' in asked else b"-2"
            body = b'{"choices":[' + choice % said + b"]}"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", free_port), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        client = Client(f"http://127.0.0.1:{free_port}")
        alerts = proof.not_applied(client, "base", ["sound", "broken"], proof.prompts(None))
        server.shutdown()
        thread.join()
    assert [(a.rule, a.evidence.split(" are ")[0]) for a in alerts] == [
        ("not_finite", "the token probabilities of broken")
    ]
