"""Who judges, in one word: MODEL, anthropic:URL#MODEL or openai:URL#MODEL."""

import hashlib
import importlib.util
import os
import re
from collections.abc import Sequence

import msgspec

from tuiwb.errors import BadInput, MissingHere
from tuiwb.llm.address import (
    ANTHROPIC_KEYS,
    ANTHROPIC_URL,
    check_key_travels_safely,
    check_url,
    check_variable,
    has_key,
)

OPENAI_KEY = "OPENAI_API_KEY"
APIS = ("anthropic", "openai")


class JudgeAddress(msgspec.Struct, frozen=True, kw_only=True):
    """A model behind an API at a URL (without /v1); `key_variable` names the environment's
    variable with its key."""

    api: str
    url: str
    model: str
    key_variable: str

    @property
    def label(self) -> str:
        """The model as a word for a folder: lower case, at most 40 characters."""
        word = _word(self.model.rsplit("/", 1)[-1], 40)
        # A bare number would read as an older run that was set aside.
        return f"model-{word}" if word.isdigit() else word


def address_of(
    judge: str, *, base_url: str | None = None, key_env: str | None = None
) -> JudgeAddress:
    """Read `judge`; a bare model is asked through the Messages API at `base_url`, else at
    ANTHROPIC_BASE_URL, else at the provider's own address. The key's presence is checked, the key
    itself never kept.

    BadInput for what is no address; MissingHere when the SDK or a key that is needed is missing.
    """
    api, found, rest = judge.partition(":")
    if found and api in APIS:
        url, _, model = rest.rpartition("#")
        if not url or not model:
            raise BadInput(
                f"{judge[:120]!r} names no judge: write {api}:URL#MODEL, such as "
                f"{api}:http://127.0.0.1:8000#my-model"
            )
        named: str | None = url
    else:
        api, model = "anthropic", judge
        named = base_url or os.environ.get("ANTHROPIC_BASE_URL") or None
        first, colon, rest = judge.partition(":")
        # Elsewhere a model's name may well hold a colon: qwen3:8b.
        if colon and (named is None or "#" in rest):
            raise BadInput(
                f"{first[:40] + ':'!r} in the judge's name is no API: write MODEL, "
                "anthropic:URL#MODEL or openai:URL#MODEL"
            )
    if not model.strip() or not model.isprintable() or len(model) > 200:
        raise BadInput(f"{model[:80]!r} is not a model's name: give the judge's model")
    _check_package(api)
    own = check_variable(key_env, option="--key-env") if key_env else OPENAI_KEY
    key = ANTHROPIC_KEYS[0] if api == "anthropic" else own
    address = check_url(named or ANTHROPIC_URL, who="the judge", variable=key)
    held = any(has_key(name) for name in (ANTHROPIC_KEYS if api == "anthropic" else (key,)))
    if not held and named is None:
        raise MissingHere(
            "there is no key for the judge: set ANTHROPIC_API_KEY, or name an endpoint that needs "
            "none with --base-url or --judge openai:URL#MODEL; votes and metrics work without a "
            "judge",
            on_screen="there is no key for the judge: set ANTHROPIC_API_KEY, or name one that "
            "needs none in tuiwb.yaml, judge: openai:URL#MODEL; votes and metrics work without a "
            "judge",
        )
    if key_env and api != "anthropic" and not held:
        raise MissingHere("the variable named with --key-env holds no key: set it, or leave it out")
    if held:
        check_key_travels_safely(address)
    return JudgeAddress(api=api, url=address, model=model, key_variable=key)


def folder_names(
    addresses: Sequence[JudgeAddress], sides: tuple[str, str] | None = None
) -> list[str]:
    """The folder of each judge below its run: `judge` for the first, judge-LABEL for the others;
    judge-ONE-OTHER and judge-ONE-OTHER-LABEL where it is about two other sides.

    BadInput where the same judge is named twice.
    """
    if len(set(addresses)) < len(addresses):
        raise BadInput("the same judge is named twice: --repeats measures its own noise")
    first = "-".join(["judge", *(f"side-{_word(name, 12)}" for name in sides or ())])
    labels = [address.label for address in addresses]
    names = [first]
    for address, label in list(zip(addresses, labels, strict=True))[1:]:
        told = label
        if labels.count(label) > 1:
            place = hashlib.sha256(f"{address.api}:{address.url}".encode()).hexdigest()[:6]
            told = f"{label[:33]}-{place}"
        names.append(f"{first}-{told}")
    return names


def _word(text: str, most: int) -> str:
    """A name as part of a folder's name."""
    word = re.sub(r"[^a-z0-9.-]+", "-", text.lower()).strip("-.")
    return re.sub(r"\.{2,}", ".", word)[:most].strip("-.") or "judge"


def _check_package(api: str) -> None:
    """MissingHere where what speaks the API is not installed."""
    package = {"anthropic": "anthropic", "openai": "httpx2"}[api]
    if importlib.util.find_spec(package) is None:
        raise MissingHere(
            f"the judge needs the {package} package: pip install 'tuiwb[judge]'; votes and metrics "
            "work without it"
        )
