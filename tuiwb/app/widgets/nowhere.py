"""That the folder that was opened is no project, and what opens or makes one."""

from textual.widgets import Static

from tuiwb.project import Project, no_project
from tuiwb.text import inert


class Nowhere(Static):
    """Shown for as long as the folder is none."""

    DEFAULT_CSS = """
    Nowhere { display: none; height: auto; }
    """

    def __init__(self, project: Project) -> None:
        super().__init__(classes="panel", markup=False)
        self.border_title = "No project"
        self._project = project

    def look(self, *, something: bool) -> None:
        """Look at the folder again; `something` of a project is known to be in it."""
        words = "" if something else no_project(self._project)
        if self.display != bool(words):
            self.display = bool(words)
            self.update(inert(words))
