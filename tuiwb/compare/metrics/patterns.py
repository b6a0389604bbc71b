"""A user's regular expression as a metric: does the answer match it? Linear in time (RE2)."""

from typing import Any

from tuiwb.errors import BadInput


class Pattern:
    """A compiled expression; `found_in` searches, so anchor it with ^ and $ for a whole match."""

    def __init__(self, text: str) -> None:
        """BadInput when it is none, or uses what RE2 leaves out (lookaround, backreferences)."""
        import re2

        self.text = text
        options = re2.Options()
        options.log_errors = False
        try:
            self._compiled: Any = re2.compile(text, options)
        except (re2.error, UnicodeEncodeError) as error:
            why = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
            raise BadInput(f"--regex {text!r} is no regular expression of RE2: {why}") from None

    @property
    def name(self) -> str:
        """How the metric is called: the expression between slashes."""
        return f"/{self.text}/"

    def found_in(self, answer: str) -> bool:
        """Whether it matches anywhere in the answer."""
        return self._compiled.search(answer.encode("utf-8", "replace").decode()) is not None
