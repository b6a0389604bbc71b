"""The sheet of a comparison: who has answered what, written to disk as it comes.

A prompt whose first two sides have both answered is a line of completions.jsonl; any other answer
is a line of answers.jsonl until then. So nothing that was answered is ever asked again.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from tuiwb.compare.completions import (
    ANSWERS,
    COMPLETIONS,
    ROLES,
    Answer,
    Completion,
    SideAnswer,
    plain_answer,
    read_completions,
    read_side_answers,
    with_sides,
)
from tuiwb.compare.prompts import HeldOutPrompt
from tuiwb.jobs.lines import append_lines

WRITE_EVERY = 0.2  # seconds: each write waits for the disk


class Sheet:
    """Answers of the sides `names` (those in the roles first) to `prompts`."""

    def __init__(
        self, folder: Path, prompts: Sequence[HeldOutPrompt], names: Sequence[str]
    ) -> None:
        self.names = list(names)
        self.prompts = {prompt.id: prompt for prompt in prompts}
        self.prompt_tokens: dict[str, int] = {}
        # Likelihood of the reference, by side and prompt: (nats, tokens).
        self.likelihoods: Mapping[tuple[str, str], tuple[float, int]] = {}
        self._folder = folder
        self._roles = [name for name in ROLES if name in self.names]
        self._done = {c.id: c for c in read_completions(folder) if c.id in self.prompts}
        self._answers: dict[tuple[str, str], Answer] = {}
        for answer in read_side_answers(folder):
            if answer.id in self.prompts and answer.side in self.names:
                self._answers[answer.side, answer.id] = plain_answer(answer)
        for c in self._done.values():
            for name in self._roles:
                if (found := c.answer(name)) is not None:
                    self._answers[name, c.id] = found
        self._never: set[tuple[str, str]] = set()
        self._lines: list[SideAnswer] = []
        self._pairs: list[Completion] = []
        self._written = time.monotonic()

    def settle(self) -> None:
        """Write the pairs that were complete when an earlier worker ended, but no line yet."""
        self._settle(list(self.prompts))
        self.write()

    @property
    def completions(self) -> list[Completion]:
        """Every prompt that the roles have answered, by its place in the file."""
        for (side, prompt), answer in self._answers.items():
            if side not in ROLES and prompt in self._done:
                self._done[prompt].others[side] = answer
        return sorted(self._done.values(), key=lambda c: c.index)

    @property
    def pairs(self) -> list[Completion]:
        """Prompts that the roles have answered, in the order in which they were."""
        return list(self._done.values())

    @property
    def answered(self) -> float:
        """How many prompts' worth of answers there are, of `len(prompts)`."""
        return (len(self._answers) + len(self._never)) / len(self.names)

    def missing(self, side: str) -> list[HeldOutPrompt]:
        """The prompts that a side has not answered, in file order."""
        known = self._answers.keys() | self._never
        return [p for p in self.prompts.values() if (side, p.id) not in known]

    def leave_out(self, side: str, prompts: Sequence[str]) -> None:
        """Ask a side these prompts never, those apart that it has answered."""
        self._never |= {(side, prompt) for prompt in prompts} - self._answers.keys()

    def drop(self, prompt: str) -> None:
        """Ask nobody this prompt any more: a side in a role can't answer it."""
        self.prompts.pop(prompt, None)
        for name in self.names:
            self._answers.pop((name, prompt), None)

    def answers_of(self, side: str) -> int:
        """How many prompts a side has answered."""
        return sum(name == side for name, _prompt in self._answers)

    def take(self, answers: Sequence[SideAnswer]) -> list[Completion]:
        """Note answers; returns the pairs that they complete. They are on disk after `write`."""
        for answer in answers:
            told = self.likelihoods.get((answer.side, answer.id))
            if told is not None:
                answer.reference_nll, answer.reference_tokens = told
            self._answers[answer.side, answer.id] = plain_answer(answer)
        new = self._settle([answer.id for answer in answers])
        paired = {c.id for c in new}
        self._lines += [a for a in answers if a.side not in ROLES or a.id not in paired]
        if time.monotonic() - self._written >= WRITE_EVERY:
            self.write()
        return new

    def write(self) -> None:
        """Put on disk what was noted since the last time."""
        if self._lines:
            append_lines(self._folder / ANSWERS, self._lines)
            # At once: where the second file finds the disk full, these are not written again.
            self._lines = []
        if self._pairs:
            append_lines(self._folder / COMPLETIONS, self._pairs)
            self._pairs = []
        self._written = time.monotonic()

    def _settle(self, prompts: Sequence[str]) -> list[Completion]:
        """The pairs that are complete now among these prompts and were not before."""
        left = [
            self.prompts[i]
            for i in dict.fromkeys(prompts)
            if i in self.prompts and i not in self._done
        ]
        new = [pair for prompt in left if (pair := self._pair(prompt)) is not None]
        self._done |= {pair.id: pair for pair in new}
        self._pairs += new
        return new

    def _pair(self, prompt: HeldOutPrompt) -> Completion | None:
        found = [self._answers.get((name, prompt.id)) for name in self._roles]
        if any(answer is None for answer in found):
            return None
        base, adapter = found[0], found[1] if len(found) > 1 else None
        assert base is not None
        return with_sides(self._blank(prompt), base, adapter)

    def _blank(self, prompt: HeldOutPrompt) -> Completion:
        return msgspec.structs.replace(
            blank(prompt), prompt_tokens=self.prompt_tokens.get(prompt.id, 0)
        )


def blank(prompt: HeldOutPrompt) -> Completion:
    """A line of completions.jsonl before anybody has answered."""
    return Completion(
        id=prompt.id,
        index=prompt.index,
        line=prompt.line,
        prompt=prompt.messages,
        raw=prompt.raw,
        reference=prompt.reference,
        tags=prompt.tags,
        base="",
    )
