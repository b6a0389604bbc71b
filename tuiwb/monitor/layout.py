"""Which charts are shown, in which order, how: what the user arranged, kept in one small file.

In: the file, written by us or by hand. Out: an order of chart keys. A broken file is no layout.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from tuiwb.jobs.folder import write_atomically
from tuiwb.prepared import prepared


class Layout(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Keys are the metrics' own names; those that a run doesn't log stay for one that does.

    `order` holds all keys the user has put in order so far, `pinned` those that come first.
    `big_first` gives the first chart a row of its own.
    """

    order: tuple[str, ...] = ()
    pinned: tuple[str, ...] = ()
    hidden: frozenset[str] = frozenset()
    big_first: bool = True
    axis: Literal["step", "tokens", "epoch", "time"] = "step"
    smoothing: float = 0.6
    log_y: frozenset[str] = frozenset()
    clip: bool = True

    def arrange(self, keys: Iterable[str]) -> list[str]:
        """`keys`, given in their usual order, in the user's: pinned, then the rest; all of them.

        A key the user never moved stays behind its usual predecessor.
        """
        usual = list(keys)
        ordered = [key for key in self.order if key in usual]
        for at, key in enumerate(usual):
            if key not in ordered:
                before = [k for k in usual[:at] if k in ordered]
                place = ordered.index(before[-1]) + 1 if before else 0
                ordered.insert(place, key)
        pinned = [key for key in self.pinned if key in ordered]
        return pinned + [key for key in ordered if key not in pinned]

    def moved(self, key: str, by: int, keys: Iterable[str]) -> "Layout":
        """`key` moved by places among `keys` as they are arranged and shown now."""
        ordered = self.arrange(keys)
        shown = [k for k in ordered if k not in self.hidden or k == key]
        if key not in shown:
            return self
        at = shown.index(key)
        other = shown[max(0, min(len(shown) - 1, at + by))]
        if other == key:
            return self
        ordered.remove(key)
        ordered.insert(ordered.index(other) + (by > 0), key)
        rest = tuple(k for k in self.order if k not in ordered)
        # A chart that was moved among the pinned, or out of them, is pinned or not accordingly.
        pinned = tuple(k for k in ordered if k in self.pinned and k != key)
        if other in self.pinned:
            pinned = tuple(k for k in ordered if k in (*self.pinned, key))
        away = tuple(k for k in self.pinned if k not in ordered)
        return self.changed(order=(*ordered, *rest), pinned=(*pinned, *away))

    def toggled_pin(self, key: str) -> "Layout":
        """`key` pinned behind the others that are, or no longer."""
        if key in self.pinned:
            return self.changed(pinned=tuple(k for k in self.pinned if k != key))
        return self.changed(pinned=(*self.pinned, key), hidden=self.hidden - {key})

    def toggled_hidden(self, key: str) -> "Layout":
        """`key` hidden, or shown again."""
        return self.changed(hidden=self.hidden ^ {key})

    def changed(self, **values: object) -> "Layout":
        """A copy with some values changed."""
        return msgspec.structs.replace(self, **values)


def read_layout(path: Path | None) -> Layout:
    """The layout kept in `path`; the usual one if there is none or it can't be read."""
    try:
        if path is None:
            return Layout()
        layout = msgspec.json.decode(path.read_bytes(), type=prepared(Layout))
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Layout()
    return layout if 0 <= layout.smoothing < 1 else layout.changed(smoothing=0.0)


def write_layout(path: Path | None, layout: Layout) -> None:
    """Keep the layout; a full or read-only disk is no reason to stop looking."""
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, msgspec.json.format(msgspec.json.encode(layout)))
    except OSError:
        pass
