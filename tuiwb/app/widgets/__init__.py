"""Widgets more than one screen uses: they draw and post, and hold no state of the project."""
