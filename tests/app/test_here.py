"""Home on the project's files: sizes are whole, names are cut, what is left out is counted."""

from pathlib import Path

import pytest

from tuiwb.app.files import Files
from tuiwb.app.widgets.here import cut, here_lines
from tuiwb.project import Project


@pytest.fixture
def files(project: Project) -> Files:
    """12 datasets, one with a long name, one with a hostile one; 5 configs."""
    data, configs = project.root / "data", project.root / "configs"
    names = [data / f"set{n}.jsonl" for n in range(10)]
    names += [
        data / "versions" / ("long-" * 9 + "v1") / "train.jsonl",
        data / "\x1b[31mx\u202e.csv",
    ]
    return Files(
        tuple((path, 11_469) for path in names),
        tuple((configs / f"c{n}.yaml", 900) for n in range(5)),
    )


@pytest.mark.parametrize(("width", "height"), [(28, 20), (44, 32), (60, 50), (22, 8)])
def test_lines_fit_and_every_size_is_whole(
    project: Project, files: Files, width: int, height: int
) -> None:
    lines = [line.plain for line in here_lines(project, files, width, height)]
    assert len(lines) <= max(height, 11)
    assert "\x1b" not in "".join(lines)
    sizes = [line for line in lines if line.endswith("KiB") or line.endswith("900 B")]
    left_out = [int(line.split()[1]) for line in lines if line.strip().startswith("and ")]
    assert len(sizes) + sum(left_out) == 17
    for line in sizes:
        assert line.endswith(("11.2 KiB", "900 B"))
        assert len(line) <= width


def test_where_names_would_all_look_alike_sizes_give_way(project: Project) -> None:
    names = ("support-lora.yaml", "support-lora-again-1.yaml")
    files = Files((), tuple((project.root / "configs" / name, 918) for name in names))
    lines = [line.plain for line in here_lines(project, files, 16, 8)]
    assert lines[-2:] == [" …port-lora.yaml", " …a-again-1.yaml"]
    assert "918 B" in here_lines(project, files, 30, 8)[-1].plain


def test_the_end_of_a_long_name_stays() -> None:
    assert cut("versions/support-v12/train.jsonl", 18) == "…t-v12/train.jsonl"
    assert cut("short.jsonl", 18) == "short.jsonl"


def test_a_path_at_home_is_shortened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine").mkdir()
    lines = here_lines(Project(tmp_path / "mine"), Files(), 40, 20)
    assert lines[1].plain == "folder   ~/mine"
