"""Unsaved edits kept under .tuiwb/drafts, so that a lost connection loses nothing."""

import hashlib
from pathlib import Path

from tuiwb.jobs.folder import write_atomically


class Drafts:
    """Texts by the file they belong to. What no disk takes is held here, as long as the program
    runs: `write` and `drop` say why, and `held` of which files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[Path, str | None] = {}  # None: its draft is void, but can't be deleted

    @property
    def held(self) -> list[Path]:
        """Files whose unsaved text would be lost with the program."""
        return [path for path, text in self._held.items() if text is not None]

    def read(self, path: Path) -> str | None:
        """The unsaved text of `path`, if there is one."""
        return self._held[path] if path in self._held else self._kept(path)

    def write(self, path: Path, text: str) -> str:
        """Keep `text` as the unsaved state of `path`; '', or why it is on no disk."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._place(path), text.encode("utf-8"))
        except OSError as error:
            if self._kept(path) != text:
                self._held[path] = text
                return error.strerror or str(error)
        self._held.pop(path, None)
        return ""

    def outdated(self, path: Path) -> bool:
        """Whether the file was written after its draft: somebody else changed it since."""
        try:
            return self._place(path).stat().st_mtime < path.stat().st_mtime
        except OSError:
            return False

    def drop(self, path: Path) -> str:
        """Forget the unsaved text of `path`; '', or why its draft is still on the disk."""
        try:
            self._place(path).unlink(missing_ok=True)
        except OSError as error:
            if self._kept(path) is not None:
                self._held[path] = None
                return error.strerror or str(error)
        self._held.pop(path, None)
        return ""

    def _kept(self, path: Path) -> str | None:
        try:
            return self._place(path).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return None

    def _place(self, path: Path) -> Path:
        mark = hashlib.sha256(str(path).encode("utf-8", "surrogateescape")).hexdigest()[:12]
        return self._folder / f"{path.stem}-{mark}.yaml"
