"""Keys that come faster than they are worked off each find what the one before it left.

A key travels up from the widget that has the focus, and only then does a binding act: without
this, the second key of a burst (a slow line sends several at once) goes to the widget that had the
focus before the first one opened a dialog or moved on to the next field.
"""

import time
from collections import deque

from textual import events
from textual.app import App
from textual.message_pump import MessagePump

ALONE = 0.3  # seconds after which a key has surely been worked off
PRESSED = (
    events.Key,
    events.MouseDown,
    events.MouseUp,
    events.MouseScrollUp,
    events.MouseScrollDown,
)
PATIENCE = 0.5  # seconds that a key waits for the one before it at most


class KeysInOrder(App[None]):
    """An app whose keys wait for each other."""

    def __init__(self) -> None:
        super().__init__()
        self._held: deque[events.Key] = deque()
        self._key: events.Key | None = None  # the last one that was passed on,
        self._sent_to: MessagePump = self  # to whom,
        self._sent_at = 0.0  # and when
        self._turn = 0
        self.last_input = 0.0  # when a key or button was last pressed, by the monotonic clock

    async def on_event(self, event: events.Event) -> None:
        """Hold a key back while the one before it is on its way."""
        if isinstance(event, PRESSED) and not event.is_forwarded:
            self.last_input = time.monotonic()
        if not isinstance(event, events.Key) or event.is_forwarded:
            await super().on_event(event)
        elif self._held:
            self._held.append(event)
        elif self._key is None or time.monotonic() - self._sent_at > ALONE:
            await self._pass_on(event)
        else:
            self._held.append(event)
            self._await_the_last()

    async def _pass_on(self, event: events.Key) -> None:
        self._key, self._sent_at = event, time.monotonic()
        self._sent_to = self.focused or self.screen
        await super().on_event(event)

    def _await_the_last(self) -> None:
        """Let the held key go once the last one has been worked off, or has taken too long."""
        self._turn += 1
        turn = self._turn
        self._follow(self._sent_to, turn)
        self.set_timer(PATIENCE, lambda: self._next(turn))

    def _follow(self, node: MessagePump, turn: int, passes: int = 2) -> None:
        """Queue up behind the key at `node`, then at each parent up to the app.

        Twice: what the key did may have sent a message up the same way (a field's Submitted).
        """

        def behind() -> None:
            self._follow(node._parent or self, turn, passes)

        if node is not self and node.is_running and node.call_later(behind):
            return
        if passes > 1:
            self.call_later(self._follow, self._sent_to, turn, passes - 1)
        else:
            self._let_go(turn)

    def _let_go(self, turn: int) -> None:
        """The key did what it does; a screen that it opened still has to find its focus."""
        if not self.screen.call_later(self.call_later, self._next, turn):
            self.call_later(self._next, turn)

    async def _next(self, turn: int) -> None:
        if turn != self._turn or not self._held:
            return
        self._turn += 1
        await self._pass_on(self._held.popleft())
        if self._held:
            self._await_the_last()
