"""The part of the x axis that is shown: zoom and pan as pure arithmetic.

A view is (low, high), or None for all there is; an extent is the (low, high) of all data.
"""

View = tuple[float, float] | None
# So much of the extent is the least that can be shown.
LEAST = 1e-6
# Nearer to the extent than this is all of it: far from 0 each step of zooming rounds, and zooming
# out again doubles what was rounded off.
ALL = 1 - 1e-6


def span(view: View, extent: tuple[float, float]) -> tuple[float, float]:
    """The view as numbers."""
    return view if view is not None else extent


def zoom(view: View, extent: tuple[float, float], factor: float, at: float | None = None) -> View:
    """Show `factor` times less (below 1: more) around x = `at`, the middle when None.

    None comes back once everything is shown.
    """
    low, high = span(view, extent)
    whole = extent[1] - extent[0]
    at = (low + high) / 2 if at is None else min(max(at, low), high)
    width = (high - low) / factor
    if whole <= 0 or width >= whole * ALL:
        return None
    width = max(width, whole * LEAST)
    share = (at - low) / (high - low) if high > low else 0.5
    return _inside(at - share * width, width, extent)


def pan(view: View, extent: tuple[float, float], share: float) -> View:
    """Move the view by `share` of its width, no further than the data."""
    if view is None:
        return None
    width = view[1] - view[0]
    return _inside(view[0] + share * width, width, extent)


def at_tail(view: View, extent: tuple[float, float]) -> View:
    """The same width, its end on the newest point."""
    return None if view is None else _inside(extent[1], view[1] - view[0], extent)


def _inside(low: float, width: float, extent: tuple[float, float]) -> tuple[float, float]:
    low = max(extent[0], min(low, extent[1] - width))
    return low, low + width
