"""refusal: answers that refuse, or speak of themselves as another model does."""

import pytest

from tests.data.some_rows import chat, findings, pair, places
from tuiwb.data.checks.refusal import Refusals


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("As an AI language model, I don't have feelings.", "boilerplate"),
        ("Hm. I'm just a language model, so I can't see it.", "boilerplate"),
        ("I am an AI and do not have favourites, but I can help.", "boilerplate"),
        ("It was so as of my last knowledge update in 2021.", "boilerplate"),
        ("I'm ChatGPT, how can I help?", "boilerplate"),
        ("I was created by OpenAI.", "boilerplate"),
        ("Als KI-Sprachmodell habe ich keine Meinung.", "boilerplate"),
        ("En tant que modèle de langage, je ne peux pas.", "boilerplate"),
        ("作为一个人工智能语言模型,我没有感情。", "boilerplate"),
        ("I'm sorry, but I can't assist with that request.", "refusal"),
        ("I cannot help with this.", "refusal"),
        ("Sorry, I’m unable to provide medical advice.", "refusal"),
        ("I apologize for the inconvenience, but I cannot fulfill this.", "refusal"),
    ],
)
def test_phrases_of_other_models_and_refusals_are_found(text: str, kind: str) -> None:
    (found,) = findings(Refusals(), [chat("hi", text)])
    assert found.kind == kind
    assert text[found.start : found.end] == found.text


@pytest.mark.parametrize(
    "text",
    [
        "I can't recommend this book enough.",
        "I'm sorry to hear that. Please send it back.",
        "The chatbot said: it can help you.",
        "An AI language model predicts the next word.",
        "GPT-3 was trained by OpenAI on web text.",
        "You cannot divide by zero.",
        "Unfortunately, I cannot determine the angle from two sides.",
        "She said: 'I cannot help you', and left.",
        "Sorry for the delay! Your parcel is on its way.",
    ],
)
def test_answers_that_only_look_like_it_are_left_alone(text: str) -> None:
    assert findings(Refusals(), [chat("hi", text)]) == []


def test_only_what_is_learned_counts() -> None:
    no = "I'm sorry, but I can't assist with that."
    records = [
        pair("q", "Here it is.", no),
        pair("q", no, "Here it is."),
        {"prompt": "q", "completion": no, "label": False},
        {"prompt": "q", "completion": no, "label": True},
        chat(no, "Fine."),
    ]
    check = Refusals()
    assert [(f.row, f.field) for f in findings(check, records)] == [
        (1, "chosen"),
        (3, "completion"),
    ]
    assert check.audit() == {"refusal_share": 0.5}


def test_a_row_with_tools_refuses_what_they_do_not_do() -> None:
    record = chat("book a flight", "I'm sorry, but I'm unable to book flights.")
    check = Refusals()
    assert places(findings(check, [record | {"tools": [{"name": "add"}]}, record])) == [
        (1, "refusal")
    ]
    assert check.audit() == {"refusal_beside_tools_share": 0.5, "refusal_share": 0.5}
