"""Unsaved edits kept under .tuiwb/drafts, so that a lost connection loses nothing."""

import hashlib
from pathlib import Path

from tuiwb.jobs.folder import write_atomically


class Drafts:
    """Texts by the file they belong to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, path: Path) -> str | None:
        """The unsaved text of `path`, if there is one."""
        try:
            return self._place(path).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return None

    def write(self, path: Path, text: str) -> None:
        """Keep `text` as the unsaved state of `path`; a full disk is no reason to stop typing."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._place(path), text.encode("utf-8"))
        except OSError:
            pass

    def outdated(self, path: Path) -> bool:
        """Whether the file was written after its draft: somebody else changed it since."""
        try:
            return self._place(path).stat().st_mtime < path.stat().st_mtime
        except OSError:
            return False

    def drop(self, path: Path) -> None:
        """Forget the unsaved text of `path`."""
        self._place(path).unlink(missing_ok=True)

    def _place(self, path: Path) -> Path:
        mark = hashlib.sha256(str(path).encode("utf-8", "surrogateescape")).hexdigest()[:12]
        return self._folder / f"{path.stem}-{mark}.yaml"
