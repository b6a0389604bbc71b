"""What lies in the project's folders, read once a second off the UI's thread."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tuiwb.project import Project


@dataclass(frozen=True)
class Files:
    """Datasets and configs with their sizes in bytes; equal when nothing changed."""

    datasets: tuple[tuple[Path, int], ...] = ()
    configs: tuple[tuple[Path, int], ...] = ()


def read(project: Project) -> Files:
    """Look at the folders now; a file that goes away meanwhile is left out."""
    try:
        return Files(_sized(project.datasets()), _sized(project.configs()))
    except OSError:
        return Files()


def _sized(paths: Iterable[Path]) -> tuple[tuple[Path, int], ...]:
    found = []
    for path in paths:
        try:
            found.append((path, path.stat().st_size))
        except OSError:
            continue
    return tuple(found)
