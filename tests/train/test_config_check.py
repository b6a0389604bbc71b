"""A config is fine only where `train` would start it: names, layers, files and this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.train.tiny import CONFIG, build_project, write_rows
from tuiwb.errors import BadInput, MissingHere
from tuiwb.jobs import create
from tuiwb.project import Project
from tuiwb.train.check import check_config, examine
from tuiwb.train.config import read_text
from tuiwb.train.machine import LIBRARIES, Machine, lacking, look
from tuiwb.train.plan import plan
from tuiwb.train.problems import Problem

CPU = Machine(gpu=False, no_gpu="there is none here", packages=frozenset(LIBRARIES))

WITH_BITSANDBYTES = Machine(gpu=False, packages=frozenset({*LIBRARIES, "bitsandbytes"}))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a tiny model, chats, and configs/base.yaml."""
    return Project(build_project(tmp_path_factory.mktemp("config_check") / "project"))


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose GPUs, if it has some, are hidden from the run."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return


def problems(project: Project, text: str, machine: Machine = CPU) -> list[Problem]:
    reading = read_text(text, project.root / "configs" / "c.yaml")
    return examine(project, reading, machine).problems


def errors(project: Project, text: str, machine: Machine = CPU) -> list[str]:
    found = [p for p in problems(project, text, machine) if p.severity == "error"]
    return [p.at("c.yaml") for p in found]


def test_what_is_missing_and_what_is_lacking_is_told_beside_a_schema_error(
    project: Project,
) -> None:
    text = (
        "name: ../../x\n"
        "model:\n  base: models/tiny\n  attn_implementation: flash_attention_2\n"
        "data:\n  train: [data/trian.jsonl, data/heldout.jsonl]\n  heldout: data/none.jsonl\n"
        "lora:\n  rr: 4\n  target_modules: [q_prj]\n"
        "training:\n  fp16: true\n  optim: adamw_8bit\n  max_steps: x\n"
    )
    said = errors(project, text)
    assert [line.split(": ")[0] for line in said] == [
        f"c.yaml:{n}" for n in (1, 4, 6, 7, 9, 10, 12, 13, 14)
    ]
    for line, words in zip(
        said,
        (
            "'../../x' can't be a run's name",
            "missing here: flash_attention_2 needs a CUDA GPU and there is none here",
            "there is no file data/trian.jsonl: did you mean data/train.jsonl?",
            "there is no file data/none.jsonl",
            "unknown key 'rr' in lora: did you mean 'r'?",
            "the base has no layer 'q_prj': did you mean q_proj?",
            "missing here: fp16 needs a GPU and there is none here",
            "missing here: adamw_8bit needs bitsandbytes, which is not installed",
            "training.max_steps must be a whole number",
        ),
        strict=True,
    ):
        assert words in line


@pytest.mark.parametrize(
    ("lora", "severity", "sentence"),
    [
        ("target_modules: all-linear", "", ""),
        ("target_modules: [q_proj, model.layers.0.mlp.up_proj]", "", ""),
        ("target_modules: [embed_tokens]", "", ""),
        (r"target_modules: '.*\.(q|v)_proj'", "", ""),
        ("target_modules: [nosuch]", "error", "it has "),
        (
            "target_modules: [q_proj, v_prj]",
            "warning",
            "and the others are trained without it: did you mean v_proj?",
        ),
        ("target_modules: [mlp]", "error", "mlp holds other layers, and can't have an adapter"),
        ("target_modules: [input_layernorm]", "error", "is no linear layer"),
        ("target_modules: q_proj", "error", "write the list [q_proj] for names"),
        (r"target_modules: '.*\.mlp\.\d+'", "error", "they are such as model.layers.0."),
        ("target_modules: all-linaer", "error", "did you mean all-linear?"),
        ("target_modules: v_prj", "error", "did you mean the list [v_proj]?"),
        ("target_modules: '(.*'", "error", "is no regular expression"),
        ("target_modules: [q_proj]\n  layers_to_transform: [7]", "error", "layers 0 to 1"),
        ("target_modules: [q_proj]\n  layers_to_transform: [1, 2]", "warning", "numbered 2"),
        ("target_modules: [q_proj]\n  exclude_modules: [q_proj]", "error", "is left out again"),
        ("exclude_modules: '.*'", "error", "is left out again"),
        ("exclude_modules: '(.*'", "error", "is no regular expression"),
        ("target_modules: [q_proj]\n  modules_to_save: [q_proj]", "error", "is left out again"),
        ("modules_to_save: [lm_hed]", "warning", "so this has no effect: "),
        (r"rank_pattern: {'layers\.0\..*q_proj': 2, v_proj: 8}", "", ""),
        ("alpha_pattern: {v_prj: 8}", "warning", "so this has no effect: did you mean v_proj?"),
        ("rank_pattern: {'(': 8}", "error", "is no regular expression"),
    ],
)
def test_layers_that_the_base_has_not_are_told_as_peft_would_take_them(
    project: Project, lora: str, severity: str, sentence: str
) -> None:
    # Which of these PEFT 0.21 refuses was tried with the trainer itself.
    text = CONFIG.replace("lora: {r: 4, lora_alpha: 8}", f"lora:\n  {lora}")
    found = [p for p in problems(project, text) if p.key.startswith("lora")]
    assert [p.severity for p in found] == ([severity] if severity else [])
    assert not sentence or sentence in found[0].message


def test_layers_of_a_model_whose_modules_may_be_named_otherwise_are_only_a_warning(
    project: Project, tmp_path: Path
) -> None:
    from shutil import copytree

    other = copytree(project.root / "models/tiny", tmp_path / "other")
    config = (other / "config.json").read_text()
    (other / "config.json").write_text(config.replace('"llama"', '"unheard_of"'))
    text = CONFIG.replace("models/tiny", str(other)).replace(
        "lora: {", "lora: {target_modules: [nosuch], "
    )
    (problem,) = (p for p in problems(project, text) if p.key.startswith("lora"))
    assert problem.severity == "warning"


@pytest.mark.parametrize(
    ("change", "machine", "sentence"),
    [
        ({}, CPU, ""),
        ({"bf16": "true"}, CPU, ""),
        ({"fp16": "true"}, CPU, "fp16 needs a GPU"),
        ({"fp16": "true"}, Machine(gpu=True, packages=CPU.packages), ""),
        ({"fp16": "true"}, Machine(gpu=None), ""),
        ({"optim": "lion_8bit"}, Machine(gpu=True, packages=CPU.packages), "needs bitsandbytes"),
        ({"optim": "lion_8bit"}, WITH_BITSANDBYTES, ""),
        ({}, Machine(gpu=True, packages=frozenset({"torch"})), "training needs transformers"),
        ({}, Machine(gpu=None, python="/none", broken=True), "names /none, which can't be run"),
    ],
)
def test_what_the_machine_lacks_is_told_and_nothing_that_it_has(
    change: dict[str, str], machine: Machine, sentence: str
) -> None:
    lines = "".join(f"  {key}: {value}\n" for key, value in change.items())
    config = read_text(f"{CONFIG}{lines}", Path("c.yaml")).config
    assert config is not None
    said = [words for _, words in lacking(config, machine)]
    assert len(said) == bool(sentence)
    assert not sentence or sentence in said[0]


@pytest.mark.parametrize("name", ["flash_attention_2", "flex_attention"])
def test_attention_that_can_not_train_on_the_cpu_is_told(project: Project, name: str) -> None:
    text = CONFIG.replace("{base:", f"{{attn_implementation: {name}, base:")
    (here,) = errors(project, text)
    assert here.startswith(f"c.yaml:1: missing here: {name} needs a CUDA GPU")
    (wrong,) = errors(project, f"{text}  use_cpu: true\n")
    assert wrong == f"c.yaml:1: {name} can't train on the CPU: sdpa can"
    both = Machine(gpu=True, packages=frozenset({*LIBRARIES, "flash_attn"}))
    assert errors(project, text, both) == []


def test_a_start_is_refused_with_the_line_that_the_check_names(
    project: Project, no_gpu: None
) -> None:
    path = project.root / "configs" / "fp16.yaml"
    path.write_text(f"{CONFIG}  fp16: true\n")
    (problem,) = (p for p in check_config(project, path) if p.severity == "error")
    assert problem.here
    with pytest.raises(MissingHere, match=rf"{path}:14: missing here: fp16 needs a GPU"):
        plan(project, path)
    assert look(project).gpu is False


def test_a_name_that_is_taken_is_an_error_unless_the_run_gets_another(project: Project) -> None:
    path = project.root / "configs" / "named.yaml"
    path.write_text(f"name: taken\n{CONFIG}")
    create(project.runs / "taken", "train", {})
    (problem,) = (p for p in check_config(project, path) if p.severity == "error")
    assert problem.at("c.yaml").startswith("c.yaml:1: a run named 'taken' exists already")
    with pytest.raises(BadInput, match=r"named\.yaml:1: a run named 'taken' exists"):
        plan(project, path)
    assert plan(project, path, "other")[0].name == "other"


def test_a_quick_look_counts_small_files_and_finds_a_wrong_first_row(project: Project) -> None:
    def quick(text: str) -> list[Problem]:
        reading = read_text(text, Path("c.yaml"))
        return examine(project, reading, CPU, quick=True).problems

    (note,) = quick(CONFIG)
    assert note.message == "40 rows in batches of 4 make 10 steps an epoch, 12 in all"
    write_rows(project.root / "data/kto.jsonl", [{"prompt": "a", "completion": "b", "label": True}])
    (error,) = (p for p in quick(CONFIG.replace("train.jsonl", "kto.jsonl")) if p.key)
    assert (error.line, error.key) == (2, "data.train")
    assert "sft needs" in error.message


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("foo\nbar: 1\n", "1: not YAML: no ': ' after the key: 'foo'"),
        ("model:\n  base m\n  dtype: x\n", "2: not YAML: no ': ' after the key: 'base m'"),
        ("model:\n  base:m\n  dtype: x\n", "2: not YAML: write a space after the colon: 'base:m'"),
        ("model:\n  base: a: b\n", "2: not YAML: a second ': ' in one line"),
        ("model:\n  base: m\n    dtype: x\n", "3: not YAML: indented deeper than line 2"),
        ("model:\n    base: m\n  dtype: x\n", "3: not YAML: indented unlike the keys above it"),
        ("model:\n\tbase: m\n", "2: not YAML: indented with a tab"),
        ('model:\n  base: "m\n  dtype: x\n', "2: not YAML: a quote is opened here"),
        ("data: {train: [a]]}\n", "1: not YAML: a ']' where a '}' is wanted"),
        ("model: {base: m}}\n", "1: not YAML: a '}' too many"),
        ("model:\n  base: m\n- x\n", "3: not YAML: a list item ('- ') where a key"),
        ("a: @x\n", "1: not YAML: a value can't start with @: put it in quotes"),
        ("a: *\n", "1: not YAML: a value can't start with *"),
        ("a: 1\n---\nb: 2\n", "2: not YAML: a second document"),
        ('{"a": 1}\n{"b": 2}\n', "2: not YAML: a second {...} after the first: rows"),
        ('{"a": 1}\n' * 600, "1: rows of data, not a config"),
        ("a: [\n" + "[" * 600, "1: too large for a config: more than 500 brackets"),
        ("a: \x00\n", "1: not YAML: a control character"),
    ],
)
def test_what_is_no_yaml_is_said_in_words_for_the_line_to_mend(text: str, sentence: str) -> None:
    (problem,) = read_text(text, Path("c.yaml")).problems
    assert f"{problem.line}: {problem.message}".startswith(sentence)


def test_rows_given_as_a_config_are_called_rows(project: Project) -> None:
    with pytest.raises(BadInput, match=r"train\.jsonl holds rows of data, not a config"):
        check_config(project, project.root / "data/train.jsonl")
    table = project.root / "data" / "table.csv"
    table.write_text("prompt,completion\na,b\n")
    with pytest.raises(BadInput, match=r"table\.csv holds rows of data"):
        check_config(project, table)
