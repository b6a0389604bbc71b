"""ctrl+p: what the keys of the screen do, found by name; then the program's own commands."""

from collections.abc import Iterator

from textual.command import DiscoveryHit, Hit, Hits
from textual.dom import DOMNode
from textual.markup import escape
from textual.system_commands import SystemCommandsProvider
from textual.types import IgnoreReturnCallbackType

from tuiwb.app.keys import actions_of


class KeyCommands(SystemCommandsProvider):
    """The screen's actions that make sense now, each with its key. One provider for all: what
    several bring comes in any order."""

    def _possible(self) -> Iterator[tuple[str, str, IgnoreReturnCallbackType]]:
        app = self.app
        for node, binding, key in actions_of(self.screen):
            words = f"{binding.tooltip} ({key})" if binding.tooltip else f"key {key}"

            async def run(action: str = binding.action, node: DOMNode = node) -> None:
                await app.run_action(action, default_namespace=node)

            # The palette reads what a command says as markup, and `[/]` is a key's name.
            yield binding.description, escape(words), run

    async def discover(self) -> Hits:
        """All of them, before anything is typed."""
        for name, words, run in self._possible():
            yield DiscoveryHit(name, run, help=words)
        async for hit in super().discover():
            yield hit

    async def search(self, query: str) -> Hits:
        """Those whose name fits what was typed."""
        matcher = self.matcher(query)
        for name, words, run in self._possible():
            if (score := matcher.match(name)) > 0:
                yield Hit(score, matcher.highlight(name), run, help=words)
        async for hit in super().search(query):
            yield hit
