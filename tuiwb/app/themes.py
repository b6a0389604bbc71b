"""Terminal themes as YAML: ours from themes/, a user's own from ~/.config/tuiwb/themes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from textual.theme import Theme

from tuiwb.project import bundled

USER_THEMES = Path("~/.config/tuiwb/themes")


def themes() -> Iterator[Theme | str]:
    """Each theme, or a sentence for each file that is none; a user's own come last and win."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for folder in (bundled("themes"), USER_THEMES.expanduser()):
        for path in sorted(folder.glob("*.yaml")):
            try:
                values: Any = yaml.load(path.read_text("utf-8"), Loader=loader)
                yield Theme(**{"name": path.stem, **values})
            except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
                words = " ".join(str(error).split())
                yield f"{path} is not a theme: {words}"
