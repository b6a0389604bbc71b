"""ctrl+p on the Config screen: what its keys do, by name."""

from textual.command import DiscoveryHit, Hit, Hits, Provider

COMMANDS = (
    ("Edit", "Let letters go into the text (e)", "edit"),
    ("Save", "Write the file (ctrl+s)", "save"),
    ("Revert", "Back to the saved file, dropping the edits (ctrl+r)", "revert"),
    ("New config", "A commented one for a dataset and a base (ctrl+n)", "new"),
    ("Train", "Save, check and start a run (ctrl+t)", "train"),
    ("Next problem", "Put the cursor on it (ctrl+e)", "next_problem"),
    ("Next file", "Open the next config (])", "step_file(1)"),
)


class ConfigCommands(Provider):
    """The screen's actions that make sense now."""

    def _possible(self) -> list[tuple[str, str, str]]:
        screen = self.screen
        return [one for one in COMMANDS if screen.check_action(one[2].partition("(")[0], ())]

    async def discover(self) -> Hits:
        """All of them, before anything is typed."""
        for name, words, action in self._possible():
            yield DiscoveryHit(name, lambda action=action: self._do(action), help=words)

    async def search(self, query: str) -> Hits:
        """Those whose name fits what was typed."""
        matcher = self.matcher(query)
        for name, words, action in self._possible():
            score = matcher.match(name)
            if score > 0:
                yield Hit(
                    score,
                    matcher.highlight(name),
                    lambda action=action: self._do(action),
                    help=words,
                )

    async def _do(self, action: str) -> None:
        await self.screen.run_action(action)
