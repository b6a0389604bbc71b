"""One question to an endpoint: deadlines, retries, pace, redaction, whatever API it speaks.

An endpoint's own client retries nothing here: it would honour retry-after without a cap and know
nothing of the other calls, while here an overloaded endpoint slows all of them.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar
from urllib.parse import urlsplit

import msgspec

from tuiwb.errors import BadInput, JobFailed, MissingHere
from tuiwb.llm.prices import Usage

OVERLOAD_TRIES = 6
OTHER_TRIES = 3
LONGEST_PAUSE = 30.0
# Seconds before a failed call is tried again, four times that before the third try.
FIRST_WAIT = 0.4
# Anything shorter is a placeholder that a keyless endpoint wants ("none", "x"), not a secret.
SHORTEST_KEY = 8
MOST_RAW = 20_000
# No answer takes that many; a count beyond is nonsense that would fit no file.
MOST_TOKENS = 1_000_000_000

T = TypeVar("T")


class Answer(msgspec.Struct, kw_only=True):
    """What an endpoint said: its text, why it stopped ('', 'refusal', 'max_tokens'), tokens."""

    text: str = ""
    stop: str = ""
    usage: Usage = msgspec.field(default_factory=Usage)


class Reply(msgspec.Struct, Generic[T], kw_only=True):
    """What was read from an answer with its raw text and cost, or the reason why there is none.

    `unanswered` calls were sent and ended without an answer: what they cost nobody knows. `refused`
    is what the endpoint said where it refused this question alone.
    """

    value: T | None = None
    reason: str = ""
    raw: str = ""
    mode: str = ""
    usage: Usage = msgspec.field(default_factory=Usage)
    unanswered: int = 0
    refused: str = ""


class Refused(Exception):
    """The endpoint answered with an HTTP status that is no answer; `words` is its body, of which
    an API's error object is told by its `message` alone; that is '' where there is none."""

    def __init__(self, status: int, words: str, retry_after: str = "") -> None:
        self.message = _message(words)
        super().__init__(self.message or words)
        self.status, self.retry_after = status, retry_after


class Cut(Exception):
    """The connection could not be made, or ended before the answer did."""


class NoAnswer(Exception):
    """A body that is none of this API's answers."""


class Endpoint(Protocol):
    """One API at one address. `modes` are its ways to ask for JSON, best first."""

    url: str
    modes: tuple[str, ...]
    secrets: list[str]
    key_variable: str

    async def send(self, text: str, mode: str, max_tokens: int) -> Answer:
        """Ask once; raises Refused, Cut, NoAnswer or TimeoutError."""
        ...

    async def close(self) -> None:
        """Let go of the connections."""
        ...


class Pace:
    """How many calls may run at once: `limit` to begin with, one more for every ten answers up to
    `most` (by default no more than to begin with); halved, and all paused, when the endpoint is
    overloaded."""

    def __init__(self, limit: int, most: int | None = None) -> None:
        self.limit, self._most = limit, max(limit, most or 0)
        self._active = 0
        self._good = 0
        self._until = 0.0
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._active < self.limit)
            self._active += 1
        try:
            while (wait := self._until - time.monotonic()) > 0:
                await asyncio.sleep(wait)
        except BaseException:
            await self.__aexit__()
            raise

    async def __aexit__(self, *_: object) -> None:
        async with self._changed:
            self._active -= 1
            self._changed.notify_all()

    def overloaded(self, pause: float) -> None:
        """Halve and pause everyone for `pause` seconds."""
        self.limit = max(1, self.limit // 2)
        self._good = 0
        self._until = max(self._until, time.monotonic() + pause)

    def answered(self) -> None:
        """Ten answers in a row earn one more call at once."""
        self._good += 1
        if self._good >= 10 and self.limit < self._most:
            self.limit, self._good = self.limit + 1, 0


class Client:
    """Asks one endpoint. `who` names it in sentences, `url_option` is how a user names its URL;
    `concurrency` calls run at once to begin with, up to `most` where the endpoint keeps up.

    `worked` is the mode of an earlier answer from this endpoint: it need prove nothing.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        model: str,
        deadline: float,
        concurrency: int,
        who: str,
        most: int | None = None,
        url_option: str = "--base-url",
        worked: str = "",
    ) -> None:
        self._endpoint, self._model, self._deadline = endpoint, model, deadline
        self._who, self._url_option = who, url_option
        self._modes = endpoint.modes
        self._proven = worked in self._modes
        self._mode = self._modes.index(worked) if self._proven else 0
        self.pace = Pace(concurrency, most)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._endpoint.close()

    async def ask(
        self,
        text: str,
        read: Callable[[str], T],
        max_tokens: int,
        *,
        most_raw: int = MOST_RAW,
        keep: Callable[[Answer, str], None] | None = None,
        insist: bool = True,
        of_question: Callable[[Refused], bool] = lambda _: False,
    ) -> Reply[T]:
        """A reply, after retries; MissingHere, BadInput or JobFailed when going on is no use.

        `read` makes a value of an answer's raw text or raises ValueError. `keep` is given every
        answer, redacted, with its mode, before it is read. To `insist` is to ask again for an
        answer that can't be read, and once more with twice the tokens for one cut at
        `max_tokens`; without it only another mode is tried, until one has worked. `of_question`
        tells a refusal that is of this question alone, whatever the others are answered.
        """
        most = max_tokens
        overloads = others = unanswered = 0
        spent = Usage()
        while True:
            mode = self._mode
            try:
                async with self.pace:
                    answer = await asyncio.wait_for(
                        self._endpoint.send(text, self._modes[mode], most), self._deadline
                    )
            except Refused as error:
                if of_question(error):
                    said = f"({error.status}): {self.sentence(error)}"
                    return Reply(
                        reason=f"refused {said}",
                        refused=said,
                        usage=spent,
                        mode=self._modes[mode],
                        unanswered=unanswered,
                    )
                if error.status in (429, 503, 529):
                    overloads += 1
                    if overloads >= OVERLOAD_TRIES:
                        raise JobFailed(
                            f"{self._called} stays overloaded "
                            f"({error.status}): run the same again later, nothing is asked twice"
                        ) from None
                    self.pace.overloaded(_pause(error.retry_after, overloads))
                    continue
                if error.status in (400, 422) and self._next_mode(mode):
                    continue
                # 413 is about this question alone, the others too once the endpoint has worked or
                # where it took the same with fewer tokens to answer in.
                taken = self._proven or most > max_tokens
                if error.status == 413 or (error.status in (400, 422) and taken):
                    reason = f"refused ({error.status}): {self.sentence(error)}"
                    return Reply(
                        reason=reason, usage=spent, mode=self._modes[mode], unanswered=unanswered
                    )
                self._abort_if_hopeless(error)
                reason = f"the endpoint answered {error.status}"
            except TimeoutError:
                unanswered += 1
                reason = f"no answer within {self._deadline:g} s"
            except Cut as error:
                if others + 1 >= OTHER_TRIES:
                    raise JobFailed(
                        f"the connection to {self._called} is lost "
                        f"({self.sentence(error)}): run the same again, nothing is asked twice"
                    ) from None
                unanswered += 1
                reason = "the connection was cut"
            except NoAnswer as error:
                reason = f"a body that is no answer ({self.sentence(error)})"
            else:
                if keep is not None:
                    text_kept = self.redact(answer.text)[:most_raw]
                    keep(msgspec.structs.replace(answer, text=text_kept), self._modes[mode])
                reply = self.read(answer, read, self._modes[mode], most_raw)
                spent = reply.usage = spent + reply.usage
                reply.unanswered = unanswered
                if reply.value is not None:
                    self._proven = True
                    self.pace.answered()
                    return reply
                if reply.reason == "refusal":
                    return reply
                if reply.reason == "max_tokens":
                    if most > max_tokens or not insist:
                        return reply
                    most *= 2
                    continue
                reason = reply.reason
                last = self._proven or mode >= len(self._modes) - 1
                if others + 1 >= OTHER_TRIES or (last and not insist):
                    return reply
                if not self._proven and mode < len(self._modes) - 1:
                    # Prose under a schema: an endpoint that ignores what it does not know.
                    self._mode = max(self._mode, len(self._modes) - 1)
            others += 1
            if others >= OTHER_TRIES:
                return Reply(
                    reason=reason, usage=spent, mode=self._modes[mode], unanswered=unanswered
                )
            await asyncio.sleep(FIRST_WAIT * 4 ** (others - 1))

    def redact(self, text: str) -> str:
        """`text` without the key."""
        for secret in self._endpoint.secrets:
            text = text.replace(secret, "[key]")
        return text

    @property
    def mode(self) -> str:
        """How the endpoint is asked for JSON now."""
        return self._modes[self._mode]

    @property
    def proven(self) -> bool:
        """Whether an answer could be read, so that key, model and mode are right."""
        return self._proven

    def read(
        self, answer: Answer, read: Callable[[str], T], mode: str, most_raw: int = MOST_RAW
    ) -> Reply[T]:
        """An answer's value, or the reason why it has none, with its raw text redacted."""
        reply: Reply[T] = Reply(mode=mode, usage=answer.usage)
        # Files are UTF-8: a lone surrogate becomes '?'.
        reply.raw = self.redact(answer.text)[:most_raw].encode("utf-8", "replace").decode()
        if answer.stop in ("refusal", "max_tokens"):
            reply.reason = answer.stop
            return reply
        try:
            reply.value = read(answer.text)
        except ValueError as error:
            reply.reason = self.sentence(error) if answer.text else "no content"
        return reply

    @property
    def _called(self) -> str:
        """Who is asked and where; a name that tells the place already has it once."""
        url = self._endpoint.url
        return self._who if urlsplit(url).netloc in self._who else f"{self._who} at {url}"

    def _next_mode(self, refused: int) -> bool:
        """Whether there is another way to ask, as long as this one never worked."""
        if self._proven or refused >= len(self._modes) - 1:
            return False
        self._mode = max(self._mode, refused + 1)
        return True

    def _abort_if_hopeless(self, error: Refused) -> None:
        url, status = self._endpoint.url, error.status
        match status:
            case 401 | 403:
                raise MissingHere(
                    f"{url} refused the key ({status}): check {self._endpoint.key_variable}"
                ) from None
            case 404:
                raise BadInput(
                    f"{url} knows no model {self._model!r} (404): name another with "
                    f"--model, or check {self._url_option}"
                ) from None
            case 400 | 402 | 422:
                raise BadInput(
                    f"{url} refused the request ({status}): {self.sentence(error)}"
                ) from None
            case 301 | 302 | 303 | 307 | 308:
                raise BadInput(
                    f"{url} redirects elsewhere ({status}): give the final "
                    f"address with {self._url_option}"
                ) from None

    def sentence(self, error: BaseException, most: int = 300) -> str:
        """An error's words on one line, without the key."""
        words = self.redact(" ".join(str(error).split()))[:most]
        return words.encode("utf-8", "replace").decode()


def secrets_of(*values: str | None) -> list[str]:
    """Those of an environment's values that are long enough to be secrets."""
    return [value for value in values if value and len(value) >= SHORTEST_KEY]


def _message(body: str) -> str:
    """The sentence inside an error object as OpenAI's and Anthropic's APIs write it; '' else."""
    try:
        plain = msgspec.json.decode(body.encode())
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return ""
    found = plain.get("error", plain) if isinstance(plain, dict) else plain
    if isinstance(found, dict):
        found = found.get("message") or found.get("detail")
    return found if isinstance(found, str) and found.strip() else ""


def _pause(retry_after: str, tries: int) -> float:
    """Seconds the endpoint asks for, never more than the longest pause; else 1, 2, 4, ..."""
    try:
        asked = float(retry_after)
    except ValueError:
        asked = float(2 ** (tries - 1))
    return min(LONGEST_PAUSE, max(0.0, asked))
