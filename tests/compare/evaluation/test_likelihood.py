"""How likely a side finds each option: the same however it is batched, whatever is shared."""

import msgspec
import pytest

from tuiwb.compare.evaluation.general import ProbeItem

pytestmark = pytest.mark.slow

ITEMS = [
    ProbeItem(
        category="a", ask="where is my order", begin="it is", options=["late", "lost"], answer=0
    ),
    ProbeItem(
        category="a",
        ask="is it a very long question of very many words that goes on and on",
        begin="yes, it",
        options=["is", "was", "is not"],
        answer=0,
    ),
    ProbeItem(category="b", ask="?", begin="", options=["a", "an order", "user"], answer=1),
]  # fmt: skip


@pytest.fixture(scope="module")
def loaded(tiny_base, tiny_adapter):
    from tuiwb.compare.inference.loading import load_model

    return load_model(str(tiny_base), str(tiny_adapter), "float32")


def alone(loaded, option) -> float:
    """One option in a forward pass of its own."""
    import torch

    with torch.inference_mode():
        logits = loaded.model(input_ids=torch.tensor([option.ids])).logits[0]
    told = torch.log_softmax(logits.double(), dim=-1)
    ids = option.ids
    return float(sum(told[n - 1, ids[n]] for n in range(option.before, len(ids)))) / option.size


@pytest.mark.parametrize("steps", [True, False])
def test_every_option_scores_as_it_does_alone(loaded, steps):
    from tuiwb.compare.evaluation.likelihood import log_likelihoods, options_of

    # Where a model can't be read in two steps nothing is shared.
    loaded = msgspec.structs.replace(loaded, steps=steps)
    options = options_of(loaded, ITEMS)
    assert [(o.item, o.option) for o in options][:3] == [(0, 0), (0, 1), (1, 0)]
    told: list[int] = []
    scores = log_likelihoods(loaded, options, told.append)
    assert told[-1] == len(options)
    assert scores == pytest.approx([alone(loaded, option) for option in options], abs=1e-5)
    with loaded.model.disable_adapter():
        base = log_likelihoods(loaded, options, told.append)
        assert base == pytest.approx([alone(loaded, option) for option in options], abs=1e-5)
    assert base != pytest.approx(scores, abs=1e-3)


def test_an_option_is_scored_from_its_first_token_of_its_own(loaded):
    from tuiwb.compare.evaluation.likelihood import options_of

    late, lost = options_of(loaded, ITEMS[:1])
    text = loaded.tokenizer.decode(late.ids[late.before :])
    assert text.strip().endswith("late.")
    assert late.size == len(" late.")
    assert late.ids[: late.before] == lost.ids[: lost.before]
    assert "it is" in loaded.tokenizer.decode(late.ids)
