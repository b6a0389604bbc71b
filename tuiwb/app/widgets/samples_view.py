"""What the model says to one held-out prompt as training goes on."""

from collections.abc import Iterable

from textual.content import Content

from tuiwb.app.widgets.list_and_detail import Item, ListAndDetail
from tuiwb.app.widgets.run_head import MUTED
from tuiwb.jobs.events import Sample
from tuiwb.text import inert

KEPT = 500
LONGEST = 20_000  # characters of a text that are shown


def sample_item(sample: Sample) -> Item:
    """Step and first words; the prompt and the completion below each other."""
    first = inert(sample.text[:200], one_line=True).strip()
    return Item(
        f"{sample.step}/{sample.t}",
        Content.assemble((f"{sample.step:>6,}  ", MUTED), first),
        Content.assemble(
            ("prompt  ", "bold $accent"),
            (inert(sample.prompt[:LONGEST]).strip(), MUTED),
            "\n",
            (f"step {sample.step:,}  ", "bold $accent"),
            inert(sample.text[:LONGEST]).strip() or "(nothing)",
        ),
    )


NO_SAMPLE = "no sample yet: one is written at each evaluation"
NOT_RECORDED = "not recorded by this trainer"


class SamplesView(ListAndDetail):
    """The newest first."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(NO_SAMPLE, id=id)
        self._samples: dict[int, Sample] = {}

    def recorded(self, by_trainer: bool) -> None:
        """Whether the run's trainer writes samples at all."""
        self.say_nothing(NO_SAMPLE if by_trainer else NOT_RECORDED)

    def clear(self) -> None:
        """Forget the samples of another run."""
        self._samples = {}
        self.show([])

    def add(self, samples: Iterable[Sample]) -> None:
        """Take in samples; one per step, the newest wins."""
        fresh = list(samples)
        if not fresh:
            return
        for sample in fresh:
            self._samples[sample.step] = sample
        newest = sorted(self._samples.values(), key=lambda s: -s.step)[:KEPT]
        self.show([sample_item(sample) for sample in newest])
