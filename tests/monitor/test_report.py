"""A run's report: all that it promises, hostile text inert, nothing from the network."""

import math
import re
import subprocess
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tests.monitor.some_runs import SPEC, job
from tuiwb.errors import BadInput
from tuiwb.jobs import process
from tuiwb.jobs.events import (
    Alert,
    AnyEvent,
    Artifact,
    Device,
    Gpu,
    Log,
    Metrics,
    Sample,
    State,
)
from tuiwb.jobs.labels import set_note
from tuiwb.monitor.report import write_report
from tuiwb.monitor.svg import SvgCurve, svg_plot, thinned

EVIL = "</pre><script>alert(1)</script><img src=http://x/y>\x1b[31m`````|[a](b)\ud800"


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.said = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.said += data


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    spec = {**SPEC, "evil": EVIL.replace("\ud800", "")}
    events: list[AnyEvent] = [State(state="running", phase="training", t=1000.0)]
    events += [
        Metrics(step=n, total_steps=50, t=1000.0 + n, values={"loss": 2 / n, EVIL[:9]: float(n)})
        for n in range(1, 51)
    ]
    events += [
        Metrics(step=50, t=1051.0, values={"eval_loss": math.nan, "eval_runtime": 3.0}),
        Device(t=1052.0, gpus=[Gpu(index=0, name="H100", memory_used=5 << 30, memory_job=4 << 30,
                                   memory_total=80 << 30, temperature=71.0, power=600.0)]),
        Sample(step=50, prompt="What?", text=EVIL, t=1053.0),
        Alert(rule="r", severity="critical", evidence=EVIL, fix="lower it", cause="too high",
              change={"training.learning_rate": 1e-5}, t=1054.0),
        Artifact(kind="checkpoint", path="checkpoints/checkpoint-50", step=50, t=1055.0),
        State(state="failed", message="the disk is full", t=1060.0),
    ]  # fmt: skip
    found = job(tmp_path / "runs" / "a", events, spec, {"/data/support.jsonl": "sha256:abc"})
    (found / "worker.log").write_text("one\nOSError: No space left on device\n")
    set_note(found, EVIL)
    return found


PROMISED = (
    "the disk is full", "No space left on device", "training.learning_rate", "0.002",
    "/data/support.jsonl", "sha256:abc", "4.0 GiB", "71 °C at most", "too high", "lower it",
    "checkpoints/checkpoint-50", "What?", "eval_loss", "nan",
)  # fmt: skip


def test_the_html_says_all_and_holds_nothing_that_runs_or_loads(
    folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    write_report(folder, path, price=3.0)
    text = path.read_text("utf-8")
    page = Page(text)
    for words in PROMISED:
        assert words in page.said, words
    assert "training.learning_rate: 1e-05" in page.said
    assert not {"script", "img", "iframe", "link", "object"} & set(page.tags)
    assert not [
        name for name, _value in page.attributes if name in ("src", "href") or name[:2] == "on"
    ]
    assert "http" not in re.sub(r'xmlns="[^"]*"|http-equiv|http://x/y', "", text)
    assert "<script>alert(1)</script>" in page.said
    assert "\x1b" not in text
    assert page.tags.count("svg") == 2
    assert "prefers-color-scheme:dark" in text


def test_the_markdown_says_all_and_its_plots_lie_beside_it(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "a report.md"
    write_report(folder, path)
    text = path.read_text("utf-8")
    plain = text.replace("\\", "")
    for words in PROMISED:
        assert words in plain, words
    links = re.findall(r"^!\[.*\]\((.*)\)$", text, re.MULTILINE)
    assert len(links) == 2
    for link in links:
        svg = ET.parse(tmp_path / link.replace("%20", " ")).getroot()
        assert svg.tag.endswith("svg")
    assert "``````text" in text
    outside_code = re.sub(r"(`{3,})text\n.*?\n\1", "", text, flags=re.DOTALL)
    assert "<script>" not in outside_code
    assert "\x1b" not in text


def test_a_report_is_written_whole_or_not_at_all(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("mine")
    with pytest.raises(BadInput, match="exists already"):
        write_report(folder, path)
    with pytest.raises(BadInput, match=r"\.html or \.md"):
        write_report(folder, tmp_path / "report.pdf")
    with pytest.raises(BadInput, match="not a job folder"):
        write_report(tmp_path, tmp_path / "other.html")
    assert path.read_text() == "mine"
    write_report(folder, path, replace=True)
    assert path.read_text().startswith("<!doctype html>")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html", "runs"]


def test_plots_that_lie_there_already_are_replaced_only_when_asked(
    folder: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "a_files" / "01-loss.svg"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(BadInput, match=r"there are files in .*a_files already"):
        write_report(folder, tmp_path / "a.md")
    assert (mine.read_text(), (tmp_path / "a.md").exists()) == ("mine", False)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    mine.unlink()
    mine.symlink_to(elsewhere)
    write_report(folder, tmp_path / "a.md", replace=True)
    assert elsewhere.read_text() == "mine", "a link is replaced, not written through"
    assert mine.read_text().startswith("<svg")


def test_times_that_no_clock_has_are_left_out(tmp_path: Path) -> None:
    events: list[AnyEvent] = [State(state="running", t=1.0), State(state="failed", t=1e300)]
    folder = job(tmp_path / "runs" / "a", events)
    write_report(folder, tmp_path / "a.html")
    said = Page((tmp_path / "a.html").read_text()).said
    assert re.search(r"took\s*0.*s without queue", said), said
    assert "1970-01-01" in said, "the other times stand"


def test_each_instance_of_a_shared_card_has_its_own_figures(tmp_path: Path) -> None:
    def instance(uuid: str, profile: str, used: int, mine: bool) -> Gpu:
        return Gpu(index=0, name="A100", uuid=uuid, mig=profile, visible=mine,
                   memory_used=used << 30, memory_total=20 << 30)  # fmt: skip

    samples: list[AnyEvent] = [
        Device(t=t, gpus=[instance("M1", "3g.20gb", 14, True), instance("M2", "1g.5gb", 3, False)])
        for t in (1.0, 2.0)
    ]
    folder = job(tmp_path / "runs" / "a", [State(state="running", t=1.0), *samples])
    write_report(folder, tmp_path / "a.md")
    text = (tmp_path / "a.md").read_text().replace("\\", "")
    assert "| GPU 0 A100 MIG 3g.20gb | 14.0 GiB used of 20.0 GiB |" in text
    assert "| GPU 0 A100 MIG 1g.5gb (not this run's) | 3.0 GiB used of 20.0 GiB |" in text


def test_a_job_that_never_began_has_a_report(tmp_path: Path) -> None:
    folder = job(tmp_path / "runs" / "a", [])
    for name in ("a.html", "a.md"):
        write_report(folder, tmp_path / name)
        assert "queued" in (tmp_path / name).read_text()


def test_a_run_whose_process_was_killed_says_so_and_how_to_go_on(tmp_path: Path) -> None:
    events: list[AnyEvent] = [State(state="running", phase="training")]
    folder = job(tmp_path / "runs" / "a", events)
    child = subprocess.Popen(["sleep", "60"])
    process.write(folder, process.identify(child.pid))
    child.kill()
    child.wait()
    (folder / "worker.log").write_text("torch.OutOfMemoryError: CUDA out of memory.\n")
    write_report(folder, tmp_path / "a.html")
    said = Page((tmp_path / "a.html").read_text()).said
    assert "died" in said
    assert "CUDA out of memory" in said
    alerts = said[said.index("Alerts") :]
    assert "critical: died" in alerts
    assert "the GPU's memory was full" in alerts


def test_a_death_before_a_resume_stands_among_the_alerts(tmp_path: Path) -> None:
    death = "it died at step 7: its process was killed (SIGKILL); resumed from checkpoint-5"
    events: list[AnyEvent] = [
        State(state="running", phase="training", t=1.0),
        Log(level="warn", message=death, t=2.0),
        Alert(rule="loss_spike", severity="warning", evidence="the loss rose", t=3.0),
        State(state="finished", t=4.0),
    ]
    folder = job(tmp_path / "runs" / "a", events)
    write_report(folder, tmp_path / "a.md")
    text = (tmp_path / "a.md").read_text().replace("\\", "")
    alerts = text[text.index("## Alerts") :]
    assert 0 < alerts.index(death) < alerts.index("the loss rose")


def curve(values: list[float], name: str = "loss") -> SvgCurve:
    return SvgCurve(name, np.arange(len(values), dtype=float), np.array(values, float))


@pytest.mark.parametrize("log_y", [False, True])
@pytest.mark.parametrize(
    "values",
    [
        [], [1.0], [math.nan], [math.nan, 1.0, math.inf, 2.0, 3.0], [0.0, 0.0], [-1.0, -2.0],
        [1e308, -1e308], [5e-324, 1.0], [math.inf, -math.inf],
    ],
)  # fmt: skip
def test_a_plot_of_any_values_is_sound_xml_within_its_frame(
    values: list[float], log_y: bool
) -> None:
    svg = svg_plot(EVIL + "\uffff", [curve(values), curve(values, EVIL)], log_y=log_y)
    root = ET.fromstring(svg)
    assert "nan" not in svg.split("</style>")[1].replace(EVIL, "")
    for path in root.iter("{http://www.w3.org/2000/svg}path"):
        if "curve" in path.attrib["class"]:
            ys = re.findall(r"[ML][\d.-]+ ([\d.-]+)", path.attrib["d"])
            assert all(0 <= float(y) <= 260 for y in ys)


def test_a_value_that_is_not_finite_leaves_a_gap_and_a_mark() -> None:
    root = ET.fromstring(svg_plot("x", [curve([1.0, 2.0, math.nan, 3.0, 4.0])]))
    paths = [p.attrib for p in root.iter("{http://www.w3.org/2000/svg}path")]
    assert [p["d"].count("M") for p in paths if "curve" in p["class"]] == [2]
    assert len([p for p in paths if p["class"] == "bad"]) == 1


def test_a_long_curve_is_thinned_and_keeps_its_extremes_and_ends() -> None:
    y = np.sin(np.arange(200_000) / 50)
    y[77_777], y[123_456] = 9.0, -9.0
    x = np.arange(200_000, dtype=float)
    xs, ys = thinned(x, y, 0.0, 199_999.0, 720)
    assert len(xs) <= 4 * 720
    assert {9.0, -9.0} <= set(ys.tolist())
    assert (xs[0], xs[-1]) == (0.0, 199_999.0)
    assert (np.diff(xs) > 0).all()
