"""The run config: every problem in one go, with its line, in words; comments survive a change."""

from pathlib import Path

import pytest

from tuiwb.errors import BadInput
from tuiwb.train.advice import steps
from tuiwb.train.config import Problem, RunConfig, check_text, describe, fields, load_config
from tuiwb.train.renames import renames
from tuiwb.train.template import markdown, new_config, template
from tuiwb.train.yaml_text import parse, set_value

GOOD = "model: {base: m}\ndata: {train: d.jsonl, heldout: h.jsonl}\n"
HERE = Path("c.yaml")


def check(text: str) -> tuple[RunConfig | None, list[Problem]]:
    return check_text(text, HERE)


def said(text: str, severity: str = "error") -> list[str]:
    return [p.at("c.yaml") for p in check(text)[1] if p.severity == severity]


def test_the_smallest_config_is_fine_and_has_every_default() -> None:
    config, problems = check(GOOD)
    assert problems == []
    assert config is not None
    assert config.training.assistant_only_loss is True
    assert config.lora.target_modules == "all-linear"


@pytest.mark.parametrize(("named", "line"), [("", 2), ("  heldout: null\n", 4)])
def test_a_missing_held_out_file_is_told_where_it_would_stand(named: str, line: int) -> None:
    (warning,) = said(f"model: {{base: m}}\ndata:\n  train: d\n{named}", "warning")
    assert warning.startswith(f"c.yaml:{line}: warning: no data.heldout")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            GOOD + "training:\n  learning_rte: 1.0e-4\n",
            "c.yaml:4: unknown key 'learning_rte' in training: did you mean 'learning_rate'?",
        ),
        (
            GOOD + "training: {lora_alpha: 2}\n",
            "c.yaml:3: unknown key 'lora_alpha' in training: it belongs under lora:",
        ),
        (GOOD + "trainin: {}\n", "c.yaml:3: unknown key 'trainin': did you mean 'training'?"),
        (
            GOOD + "zzz: 1\n",
            "c.yaml:3: unknown key 'zzz': the keys are name, method, model, data, lora, training",
        ),
        (
            GOOD + "training:\n  max_steps: ten\n",
            "c.yaml:4: training.max_steps must be a whole number at least -1, not the text 'ten'",
        ),
        (
            GOOD + "lora: {r: '8'}\n",
            "c.yaml:3: lora.r must be a whole number at least 1 and at most 1024, not the text "
            "'8': write it without quotes",
        ),
        (
            GOOD + "lora: {r: true}\n",
            "c.yaml:3: lora.r must be a whole number at least 1 and at most 1024, not true",
        ),
        (
            GOOD + "lora: {lora_dropout: 1.5}\n",
            "c.yaml:3: lora.lora_dropout must be a number at least 0 and below 1, not 1.5",
        ),
        (
            GOOD + "training: {learning_rate: .nan}\n",
            "c.yaml:3: training.learning_rate must be a number above 0, not nan",
        ),
        (
            GOOD + "training: {packing: yes}\n",
            "c.yaml:3: training.packing must be true or false, not the text 'yes': write true",
        ),
        (
            GOOD + "lora: {bias: nune}\n",
            "c.yaml:3: lora.bias must be one of none, all, lora_only, not the text 'nune': did you "
            "mean none?",
        ),
        (
            GOOD + "training: 3\n",
            "c.yaml:3: training is a section: write its keys below it, indented",
        ),
        (
            GOOD + "method: dpo\n",
            "c.yaml:3: method 'dpo' can't be trained yet: sft is what there is",
        ),
        ("data: {train: d}\n", "c.yaml:1: model is missing: the base model"),
        (
            "model: {base: m}\ndata:\n  heldout: h\n",
            "c.yaml:2: data.train is missing: dataset file, or a list of them, from the project's "
            "root",
        ),
        ("", "c.yaml:1: c.yaml is empty: `tuiwb config new` writes a starter"),
        ("- a\n- b\n", "c.yaml:1: a config is made of sections (model:, data:, lora:, training:)"),
        (
            "model: {base: m\ndata: x",
            "c.yaml:1: not YAML: a '{' is opened here and not closed, or a ',' is missing before "
            "line 2",
        ),
        (
            "a: 1\nb: 2\na: 3\n",
            "c.yaml:3: not YAML: the key 'a' stands here a second time: keep one of them",
        ),
        (
            GOOD + "lora: {layers_to_transform: 0}\n",
            "c.yaml:3: PEFT takes layers_to_transform only",
        ),
    ],
)
def test_bad_input_gets_one_sentence_with_its_line(text: str, sentence: str) -> None:
    errors = said(text)
    assert len(errors) == 1
    assert errors[0].startswith(sentence)


def test_every_problem_is_reported_in_one_go_in_the_order_of_lines() -> None:
    text = "model:\n  bas: m\ndata: {train: 3}\nlora: {r: 0}\ntraining: {optim: sgdd, warmpu: 1}\n"
    config, problems = check(text)
    assert config is None
    assert [p.line for p in problems] == [1, 2, 3, 4, 5, 5]
    assert problems[1].column == 3


def test_old_names_are_taken_as_the_new_ones_and_said_with_their_line() -> None:
    text = GOOD.replace("base: m", "base: m, torch_dtype: float32") + (
        "training:\n  max_seq_length: 64\n  warmup_ratio: 0.1\n  evaluation_strategy: epoch\n"
        "  group_by_length: true\n  overwrite_output_dir: true\n"
    )
    config, problems = check(text)
    assert config is not None
    assert config.model.dtype == "float32"
    assert config.training.max_length == 64
    assert config.training.warmup_steps == 0.1
    assert config.training.eval_strategy == "epoch"
    assert config.training.train_sampling_strategy == "group_by_length"
    assert {p.severity for p in problems} == {"note"}
    assert [p.line for p in problems] == [1, 4, 5, 6, 7, 8]
    assert problems[1].message == "max_seq_length is called training.max_length now: taken as that"


def test_an_old_name_beside_its_new_one_is_an_error() -> None:
    assert said(GOOD + "training:\n  max_length: 8\n  max_seq_length: 9\n") == [
        "c.yaml:5: max_seq_length is called training.max_length now, and that is set too: keep "
        "one of them"
    ]


def test_a_wrong_value_under_an_old_name_is_shown_at_the_old_names_line() -> None:
    errors = said(GOOD + "training:\n  lr_scheduler_type: cosine\n  warmup_ratio: much\n")
    assert errors[0].startswith("c.yaml:5: training.warmup_steps must be a number")


def test_a_secret_in_a_config_is_refused_and_not_repeated() -> None:
    errors = said(GOOD + "training: {hub_token: hf_supersecret}\n")
    assert "HF_TOKEN" in errors[0]
    assert "supersecret" not in "".join(errors)


def test_every_new_name_in_the_table_of_old_ones_exists() -> None:
    targets = {row["new"] for row in renames().values() if "new" in row}
    assert targets <= set(fields())
    olds = {f"{section}.{old}" for section, old in renames()}
    assert not olds & set(fields())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("model: {base: m}\ndata: {train: d}\ntraining: {eval_strategy: epoch}\n", "data.heldout"),
        ("model: {base: m}\ndata: {train: d, heldout: d}\n", "both trained on and held out"),
        (GOOD + "training: {padding_free: true}\n", "max_length: null"),
        (GOOD + "training: {packing: true, max_length: null}\n", "length of a pack"),
        (GOOD + "training: {fp16: true, use_cpu: true}\n", "can't train on the CPU"),
        (GOOD + "training: {fp16: true, bf16: true}\n", "keep one"),
        (GOOD + "training: {max_steps: 0}\n", "max_steps is 0"),
        (GOOD + "training: {save_steps: 2.5}\n", "whole number"),
        (GOOD + "lora: {target_modules: [q_proj, lm_head]}\n", "lm_head"),
        (
            GOOD + "training: {load_best_model_at_end: true, eval_strategy: steps}\n",
            "save_strategy steps",
        ),
        (
            GOOD + "training: {load_best_model_at_end: true, eval_strategy: steps, eval_steps: 20,"
            " save_strategy: steps, save_steps: 50}\n",
            "multiple of eval_steps",
        ),
        (GOOD + "training: {lr_scheduler_type: cosine_with_min_lr}\n", "min_lr_rate"),
        (
            GOOD + "training: {lr_scheduler_type: cosine_with_min_lr, "
            "lr_scheduler_kwargs: {min_lr: 0, min_lr_rate: 0.1}}\n",
            "not both",
        ),
        (
            GOOD + "training: {lr_scheduler_type: cosine, lr_scheduler_kwargs: {min_lr: 0}}\n",
            "cosine has no argument 'min_lr': it takes num_cycles",
        ),
        (GOOD + "training: {lr_scheduler_kwargs: {power: 2}}\n", "it takes none"),
        (
            GOOD + "training: {lr_scheduler_type: polynomial, lr_scheduler_kwargs: {lr_end: 1}}\n",
            "lr_end 1 must be below learning_rate 0.0002",
        ),
        (GOOD + "lora: {init_lora_weights: orthogonal, r: 3}\n", "wants an even r"),
    ],
)
def test_what_can_not_run_together_is_an_error(text: str, sentence: str) -> None:
    errors = said(text)
    assert len(errors) == 1
    assert sentence in errors[0]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("model: {base: m}\ndata: {train: d}\n", "overfitting"),
        (GOOD + "training: {learning_rate: 0.1}\n", "above what LoRA usually takes"),
        (GOOD + "training: {learning_rate: 1.0e-7}\n", "hardly learn"),
        (GOOD + "lora: {r: 1, lora_alpha: 64}\n", "lora_alpha / r is 64"),
        (GOOD + "training: {save_strategy: 'no'}\n", "step 0"),
        (GOOD + "training: {max_steps: 10, warmup_steps: 10}\n", "as long as the run"),
        (GOOD + "training: {packing: true}\n", "flash attention"),
        (GOOD + "lora: {modules_to_save: [lm_head]}\n", "vLLM refuses"),
        (GOOD + "training: {eval_strategy: 'no'}\n", "never measured"),
    ],
)
def test_what_will_surprise_is_a_warning_that_says_why(text: str, sentence: str) -> None:
    warnings = said(text, "warning")
    assert len(warnings) == 1
    assert sentence in warnings[0]


def test_steps_are_counted_as_the_trainer_counts_them() -> None:
    config, _ = check(
        GOOD + "training: {num_train_epochs: 3, per_device_train_batch_size: 4, "
        "gradient_accumulation_steps: 3, warmup_steps: 0.1}\n"
    )
    assert config is not None
    counted = steps(config, 50)  # 13 batches, 5 steps with the short one at the end
    assert (counted.batch, counted.per_epoch, counted.total, counted.warmup) == (12, 5, 15, 2)


def test_knowing_the_rows_tells_what_the_run_is_too_short_for() -> None:
    text = GOOD + "training: {save_strategy: steps, save_steps: 500, warmup_steps: 50}\n"
    said_now = "\n".join(p.message for p in check_text(text, HERE, rows=40)[1])
    assert "5 steps an epoch, 15 in all" in said_now
    assert "save_steps 500 is beyond the run's end" in said_now
    assert "the warm-up (50 steps) is as long as the run (15)" in said_now


def test_every_field_is_described_in_words_with_its_default() -> None:
    assert len(fields()) > 60
    for path in fields():
        doc = describe(path)
        assert doc.description.endswith(".")
        assert len(doc.description) > 15
        assert doc.type
    assert describe("lora.bias").choices == ("none", "all", "lora_only")
    assert describe("training.learning_rate").default == 2e-4
    assert describe("training").type == "section"
    assert describe("model.base").required
    with pytest.raises(BadInput, match=r"did you mean training\.learning_rate"):
        describe("training.learning_rat")


def test_the_page_of_all_fields_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / "docs" / "config.md"
    assert page.read_text("utf-8") == markdown(), "python -m tuiwb.train.template > docs/config.md"


def test_changing_a_value_keeps_comments_order_and_the_rest() -> None:
    text = (
        "# why\nmodel:\n  base: m  # the base\n\ntraining:\n  # peak\n  learning_rate: 1.0e-4\n"
        "  optim: 'sgd'\n"
    )
    changed = set_value(text, "training.learning_rate", 0.002)
    assert changed == text.replace("1.0e-4", "0.002")
    changed = set_value(changed, "lora.target_modules", ["q_proj", "v_proj"])
    assert changed.endswith("lora:\n  target_modules: [q_proj, v_proj]\n")
    assert "base: m  # the base" in changed
    assert set_value(text, "training.optim", "adafactor").endswith("optim: 'adafactor'\n")
    assert parse(set_value("", "model.base", "x")).plain == {"model": {"base": "x"}}
    with pytest.raises(BadInput, match="line 1: not YAML"):
        set_value("a: [", "a", 1)


def test_a_starter_config_is_valid_and_reads_back_odd_paths_as_they_are() -> None:
    for odd in ("data/a b#c.jsonl", "null", "1e5", "a: b", "naïve'\"", "x{y}", "- z"):
        config, problems = check(template(odd, odd, "held.jsonl"))
        assert config is not None, problems
        assert config.model.base == odd
        assert config.data.train == odd
    assert [p for p in check(template("m", "d", "h"))[1] if p.severity != "note"] == []


def test_a_new_config_takes_the_projects_data_and_never_overwrites(tmp_path: Path) -> None:
    from tuiwb.project import Project

    for name in ("chats.jsonl", "heldout.jsonl"):
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / name).write_text("{}\n")
    (tmp_path / "tuiwb.yaml").write_text("base_model: models/m\n")
    path = new_config(Project(tmp_path))
    config, _ = load_config(path)
    assert path.name == "chats-lora.yaml"
    assert config is not None
    assert (config.model.base, config.data.train) == ("models/m", "data/chats.jsonl")
    assert config.data.heldout == "data/heldout.jsonl"
    path.write_text("mine")
    with pytest.raises(BadInput, match="exists already"):
        new_config(Project(tmp_path))
    assert path.read_text() == "mine"
    assert new_config(Project(tmp_path), "second").name == "second.yaml"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "does not exist"), (b"\xff\xfe\x00a", "not UTF-8"), ("folder", "is a folder")],
)
def test_a_file_that_can_not_be_read_is_said(
    tmp_path: Path, content: bytes | str | None, sentence: str
) -> None:
    path = tmp_path / "c.yaml"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        path.mkdir()
    with pytest.raises(BadInput, match=sentence):
        load_config(path)


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
        "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n"
        "f: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n",
        "a: &a [*a]\n",
        "a: \x00\n",
        "a: \x1b[31m\n",
        "[" * 3000,
        "!!python/object/apply:os.system ['true']\n",
        "model: !!binary aGk=\n",
        "? [a, b]\n: c\n",
        "1: 2\n",
    ],
    ids=["bomb", "own alias", "nul", "escape", "deep", "object", "binary", "odd key", "number key"],
)
def test_hostile_yaml_is_a_problem_and_never_an_exception(text: str) -> None:
    config, problems = check(text)
    assert config is None
    assert any(p.severity == "error" for p in problems)


def test_each_scheduler_takes_the_arguments_that_transformers_has_for_it() -> None:
    from ast import FunctionDef, parse, walk
    from importlib.util import find_spec

    from tuiwb.train.schema import SCHEDULER_KWARGS, Scheduler

    spec = find_spec("transformers")
    assert spec is not None
    assert spec.origin is not None
    source = (Path(spec.origin).parent / "optimization.py").read_text("utf-8")
    made = {
        f.name: {a.arg for a in f.args.args}
        for f in walk(parse(source))
        if isinstance(f, FunctionDef)
    }
    own = {"optimizer", "num_warmup_steps", "num_training_steps", "last_epoch"}
    assert set(SCHEDULER_KWARGS) == set(Scheduler.__args__)  # type: ignore[attr-defined]
    names = {
        "linear": "get_linear_schedule_with_warmup",
        "cosine": "get_cosine_schedule_with_warmup",
        "cosine_with_restarts": "get_cosine_with_hard_restarts_schedule_with_warmup",
        "cosine_with_min_lr": "get_cosine_with_min_lr_schedule_with_warmup",
        "polynomial": "get_polynomial_decay_schedule_with_warmup",
        "constant": "get_constant_schedule",
        "constant_with_warmup": "get_constant_schedule_with_warmup",
        "inverse_sqrt": "get_inverse_sqrt_schedule",
        "warmup_stable_decay": "get_wsd_schedule",
    }
    for scheduler, takes in SCHEDULER_KWARGS.items():
        assert made[names[scheduler]] - own == set(takes), scheduler
