"""Make docs/pictures/*.svg from the real program on a project: `python docs/pictures.py PROJECT`.

The project should have been through the flow once (`tuiwb demo --headless --dir PROJECT` does it),
so that each screen has something true to show.
"""

import asyncio
import sys
from pathlib import Path

from tuiwb.app.app import WorkbenchApp
from tuiwb.project import Project

SIZE = (120, 36)
# Screen, the keys that bring it to something worth seeing, seconds to let it settle.
SCREENS = {
    "home": ([], 2.0),
    "data": (["2"], 4.0),
    "config": (["3", *["down"] * 16], 2.0),
    "train": (["4"], 3.0),
    "compare": (["5"], 3.0),
    "serve": (["6"], 3.0),
}


async def picture(project: Project, name: str, folder: Path) -> None:
    """Open the program, press the keys of one screen, save what it shows."""
    keys, seconds = SCREENS[name]
    app = WorkbenchApp(project)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause(1.5)
        await pilot.press(*keys)
        await pilot.pause(seconds)
        (folder / f"{name}.svg").write_text(app.export_screenshot(title=f"tuiwb: {name}"))


def main() -> None:
    """All pictures into the folder beside this script."""
    project = Project(Path(sys.argv[1]))
    folder = Path(__file__).parent / "pictures"
    folder.mkdir(exist_ok=True)
    for name in SCREENS:
        asyncio.run(picture(project, name, folder))


if __name__ == "__main__":
    main()
