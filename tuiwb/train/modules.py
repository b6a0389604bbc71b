"""Whether the layers that an adapter names are there: told from the weights' headers.

PEFT matches a list by the end of a module's name and a text as a regular expression over the whole
of it, and refuses what is no linear layer, embedding or convolution (peft 0.21,
tuners_utils.check_target_module_exists and lora/model.py). Pure, but for `modules_of`.
"""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

import msgspec

from tuiwb.errors import BadInput
from tuiwb.train.base_model import read_json
from tuiwb.train.model_shape import tensor_shapes
from tuiwb.train.problems import Severity
from tuiwb.train.schema import LoraSection

# Families whose modules are called in memory as in their files, every layer a module of its own:
# what a name does not match there, PEFT does not find either.
NAMED_AS_STORED = frozenset(
    {
        "cohere", "cohere2", "gemma", "gemma2", "gemma3_text", "glm", "glm4", "granite", "llama",
        "mistral", "olmo", "olmo2", "olmo3", "phi", "phi3", "qwen2", "qwen3", "smollm3",
        "stablelm", "starcoder2",
    }
)  # fmt: skip
_NUMBERED = re.compile(r".*?\.[^.]*\.(?P<layer>\d+)\.")
_NO_LINEAR = re.compile(r"(^|\.)(wte|wpe|embed\w*|lm_head)$")
NO_EFFECT = ", so this has no effect"
_LISTED = 10  # names told where there is no near one


class Modules(msgspec.Struct, frozen=True, kw_only=True):
    """A model's modules by full name, with the dimensions of their weight (0: holds others).

    `layers`: how many there are, 0 where it isn't known. `certain`: whether a name that is not
    among them is certainly not in the model.
    """

    dimensions: Mapping[str, int]
    layers: int
    certain: bool

    @property
    def linear(self) -> list[str]:
        """Last names of the modules that can have an adapter, each once."""
        found = (n.rpartition(".")[2] for n, size in self.dimensions.items() if size >= 2)
        return [name for name in dict.fromkeys(found) if not name.isdigit()]


def modules_of(folder: Path) -> Modules | None:
    """The modules of the model in `folder`; None where its weights' headers can't be read."""
    tensors = tensor_shapes(folder)
    if not tensors:
        return None
    try:
        config = read_json(folder / "config.json", "the model's config.json")
    except BadInput:
        config = {}
    dimensions: dict[str, int] = {}
    for name, (_, shape) in tensors.items():
        module, _, last = name.rpartition(".")
        if last == "weight":
            dimensions[module] = len(shape)
        while module:
            dimensions.setdefault(module, 0)
            module = module.rpartition(".")[0]
    numbers = [int(m["layer"]) for name in dimensions if (m := _NUMBERED.match(f"{name}."))]
    fused = any(".experts." in f"{name}." for name in dimensions)
    return Modules(
        dimensions=dimensions,
        layers=max(numbers, default=-1) + 1,
        certain=config.get("model_type") in NAMED_AS_STORED and not fused,
    )


Said = Iterator[tuple[str, Severity, str]]


def module_problems(lora: LoraSection, modules: Modules) -> Said:
    """(key, severity, sentence) about layers that lora names and the model has not."""
    wrong: Severity = "error" if modules.certain else "warning"
    layers = lora.layers_to_transform
    numbers = [layers] if isinstance(layers, int) else layers or []
    beyond = [n for n in numbers if not 0 <= n < modules.layers]
    if beyond and modules.layers:
        yield (
            "lora.layers_to_transform",
            wrong if len(beyond) == len(numbers) else "warning",
            f"the base has the layers 0 to {modules.layers - 1}, and none numbered "
            f"{', '.join(map(str, beyond[:5]))}",
        )
    target, exclude = lora.target_modules, lora.exclude_modules
    said = [
        *(
            _pattern(target, modules, wrong)
            if isinstance(target, str)
            else _names("target_modules", target, modules, wrong)
        ),
        *_expression("exclude_modules", exclude if isinstance(exclude, str) else ".*"),
        *_idle("exclude_modules", exclude, modules),
        *_idle("modules_to_save", lora.modules_to_save, modules),
        *_idle_patterns("rank_pattern", lora.rank_pattern, modules),
        *_idle_patterns("alpha_pattern", lora.alpha_pattern, modules),
    ]
    yield from said
    if any(severity == wrong for _, severity, _ in said) or beyond:
        return
    if not any(_has_adapter(lora, name) for name in _targeted(target, modules)):
        yield (
            "lora.exclude_modules" if exclude else "lora.modules_to_save",
            wrong,
            "every layer of target_modules is left out again by exclude_modules or modules_to_save",
        )


def _idle(key: str, named: object, modules: Modules) -> Said:
    """PEFT passes over these without a word: a misspelt one does nothing."""
    for name in named if isinstance(named, list) else ():
        if not _matches(name, modules):
            yield f"lora.{key}", "warning", _not_there(name, modules, NO_EFFECT)


def _idle_patterns(key: str, patterns: Mapping[str, int] | None, modules: Modules) -> Said:
    """Patterns that match no layer's name or its end, as peft.utils.get_pattern_key has it."""
    for pattern in patterns or {}:
        try:
            wanted = re.compile(rf"(.*\.)?({pattern})$")
        except re.error as error:
            yield f"lora.{key}", "error", f"{pattern!r} is no regular expression ({error})"
            continue
        if not any(wanted.match(name) for name in modules.dimensions):
            yield f"lora.{key}", "warning", _not_there(pattern, modules, NO_EFFECT)


def _targeted(target: str | list[str], modules: Modules) -> list[str]:
    """The modules that target_modules means."""
    if isinstance(target, list):
        return [module for name in target for module in _matches(name, modules)]
    if target == "all-linear":
        sized = (name for name, size in modules.dimensions.items() if size == 2)
        return [name for name in sized if not _NO_LINEAR.search(name)]
    return [name for name in modules.dimensions if re.fullmatch(target, name)]


def _has_adapter(lora: LoraSection, module: str) -> bool:
    """Whether a module that is meant keeps its adapter."""
    exclude = lora.exclude_modules or []
    if isinstance(exclude, str):
        out = re.fullmatch(exclude, module) is not None
    else:
        out = any(module == name or module.endswith(f".{name}") for name in exclude)
    saved = lora.modules_to_save or []
    return not out and not any(
        re.match(rf"(^|.*\.){re.escape(name)}($|\..*)", module) for name in saved
    )


def _names(key: str, names: list[str], modules: Modules, wrong: Severity) -> Said:
    known = {name: _matches(name, modules) for name in names}
    tied = {"lm_head"}  # a tied head has no weights of its own; advice speaks of it
    unknown = [name for name, found in known.items() if not found and name not in tied]
    for name in unknown:
        # PEFT fails only where no name matches, and trains fewer layers else.
        none_left = len(unknown) == len(names)
        end = "" if none_left else ", and the others are trained without it"
        severity = wrong if none_left else "warning"
        yield f"lora.{key}", severity, _not_there(name, modules, end)
    for name, found in known.items():
        sizes = {modules.dimensions[module] for module in found}
        if found and not any(size >= 2 for size in sizes):
            what = "holds other layers" if sizes == {0} else "is no linear layer"
            yield (
                f"lora.{key}",
                wrong,
                f"{name} {what}, and can't have an adapter: name some of "
                f"{', '.join(modules.linear[:_LISTED])}",
            )


def _pattern(pattern: str, modules: Modules, wrong: Severity) -> Said:
    if pattern == "all-linear":
        return
    if broken := list(_expression("target_modules", pattern)):
        yield from broken
        return
    if any(re.fullmatch(pattern, name) for name in modules.dimensions):
        return
    near = get_close_matches(pattern, ["all-linear", *modules.linear], 1)
    if _matches(pattern, modules):
        hint = f": write the list [{pattern}] for names"
    elif near:
        hint = f": did you mean {near[0] if near[0] == 'all-linear' else f'the list [{near[0]}]'}?"
    else:
        hint = _such_as(modules)
    yield (
        "lora.target_modules",
        wrong,
        f"no layer's whole name matches the expression {pattern!r}{hint}",
    )


def _expression(key: str, pattern: str) -> Said:
    """That a text is no regular expression."""
    try:
        re.compile(pattern)
    except re.error as error:
        yield (
            f"lora.{key}",
            "error",
            f"{pattern!r} is no regular expression ({error}): write a list for plain names, such "
            "as [q_proj, v_proj]",
        )


def _matches(name: str, modules: Modules) -> list[str]:
    """The modules a name in a list means, as PEFT has it: the whole name, or its end."""
    return [m for m in modules.dimensions if m == name or m.endswith(f".{name}")]


def _not_there(name: str, modules: Modules, then: str = "") -> str:
    near = get_close_matches(name.rpartition(".")[2], modules.linear, 1)
    hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(modules.linear[:_LISTED])}"
    return f"the base has no layer {name!r}{then}: {hint}"


def _such_as(modules: Modules) -> str:
    sized = (name for name, size in modules.dimensions.items() if size >= 2)
    first = next((name for name in sized if not _NO_LINEAR.search(name)), "")
    return f": they are such as {first}" if first else ""
