"""Every format and container opens; what can't be read is a row with a problem, never a crash."""

import csv
import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tuiwb.data.read import open_dataset, training_examples
from tuiwb.data.rows import Message, Row
from tuiwb.errors import BadInput

ASK, ANSWER = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}
HUMAN, GPT = {"from": "human", "value": "hi"}, {"from": "gpt", "value": "yo"}
ASKED, ANSWERED = Message("user", "hi"), Message("assistant", "yo")
CALL = {"name": "look", "arguments": {"for": "x"}}
CALLED = Message("assistant", "", tool_calls=[{"type": "function", "function": CALL}])
TOOL = {"name": "look", "description": "looks"}
CHAT = (
    ("messages", {"messages": [ASK, ANSWER]}, [ASKED, ANSWERED]),
    ("messages", {"messages": [ASK, {**ANSWER, "content": [{"type": "text", "text": "yo"}]}]},
     [ASKED, ANSWERED]),
    ("messages", {"messages": [ASK, {"role": "assistant", "content": None, "tool_calls": [
        {"type": "function", "function": {"name": "look", "arguments": '{"for": "x"}'}}]}]},
     [ASKED, CALLED]),
    ("sharegpt", {"conversations": [HUMAN, GPT], "system": "be"},
     [Message("system", "be"), ASKED, ANSWERED]),
    ("sharegpt", {"conversations": [HUMAN, {"from": "function_call", "value": json.dumps(CALL)},
                                    {"from": "observation", "value": "1"}, GPT]},
     [ASKED, CALLED, Message("tool", "1"), ANSWERED]),
    ("alpaca", {"instruction": "hi", "input": "", "output": "yo"}, [ASKED, ANSWERED]),
    ("alpaca", {"instruction": "hi", "input": "more", "output": "yo", "system": "be",
                "history": [["a", "b"]]},
     [Message("system", "be"), Message("user", "a"), Message("assistant", "b"),
      Message("user", "hi\nmore"), ANSWERED]),
)  # fmt: skip


def write(path: Path, records: list[Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


def held_as(path: Path, records: list[dict[str, Any]]) -> Path:
    """Write the records in the container that the name asks for."""
    lines = "".join(json.dumps(record) + "\n" for record in records).encode()
    if path.suffix == ".json":
        path.write_text(json.dumps(records))
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(records[0]))
            writer.writeheader()
            for record in records:
                cells = {k: v if isinstance(v, str) else json.dumps(v) for k, v in record.items()}
                writer.writerow(cells)
    elif path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(records), path, row_group_size=2)
    else:
        pack = {".gz": gzip.compress, ".zst": zstandard.compress}.get(path.suffix, bytes)
        path.write_bytes(pack(lines))
    return path


def only(path: Path) -> Row:
    (row,) = open_dataset(path)
    return row


@pytest.mark.parametrize(("format_", "record", "messages"), CHAT)
def test_chats_of_every_format_become_messages(
    tmp_path: Path, format_: str, record: Any, messages: list[Message]
) -> None:
    row = only(write(tmp_path / "a.jsonl", [record]))
    assert (row.shape, row.format, row.messages) == ("chat", format_, messages)


def test_tools_become_a_list_in_the_usual_shape(tmp_path: Path) -> None:
    record = {"conversations": [HUMAN, GPT], "tools": json.dumps([TOOL])}
    row = only(write(tmp_path / "a.jsonl", [record]))
    assert row.tools == [{"type": "function", "function": TOOL}]


@pytest.mark.parametrize(
    ("record", "prompt", "chosen", "rejected"),
    [
        ({"prompt": "hi", "chosen": "yo", "rejected": "no"}, "hi", "yo", "no"),
        ({"prompt": [ASK], "chosen": [ANSWER], "rejected": [ANSWER]},
         [ASKED], [ANSWERED], [ANSWERED]),
        ({"chosen": [ASK, ANSWER], "rejected": [ASK, ANSWER]}, [ASKED], [ANSWERED], [ANSWERED]),
        ({"conversations": [HUMAN], "chosen": GPT, "rejected": GPT},
         [ASKED], [ANSWERED], [ANSWERED]),
        ({"instruction": "hi", "input": "", "chosen": "yo", "rejected": "yo"},
         [ASKED], [ANSWERED], [ANSWERED]),
    ],
)  # fmt: skip
def test_pairs_split_into_prompt_and_two_answers(
    tmp_path: Path, record: Any, prompt: Any, chosen: Any, rejected: Any
) -> None:
    row = only(write(tmp_path / "a.jsonl", [record]))
    assert row.shape == "preference"
    assert (row.prompt, row.chosen, row.rejected) == (prompt, chosen, rejected)


@pytest.mark.parametrize(
    "record",
    [
        {"prompt": [ASK], "completion": [ANSWER], "label": False},
        {"messages": [ASK, ANSWER], "label": False},
        {"messages": [ASK, ANSWER], "kto_tag": "false"},
        {"instruction": "hi", "output": "yo", "kto_tag": False},
    ],
)
def test_thumbs_keep_their_label(tmp_path: Path, record: Any) -> None:
    row = only(write(tmp_path / "a.jsonl", [record]))
    assert (row.shape, row.label) == ("kto", False)
    assert (row.prompt, row.completion) == ([ASKED], [ANSWERED])


@pytest.mark.parametrize(
    ("record", "unread"),
    [
        ({"prompt": "hi", "completion": "yo", "label": True}, {"messages": [ASK], "input": "x"}),
        ({"prompt": [ASK], "completion": [ANSWER], "label": True}, {"conversations": [HUMAN]}),
        ({"instruction": "hi", "output": "yo", "kto_tag": True}, {"messages": [ASK, ANSWER]}),
        ({"messages": [ASK, ANSWER], "label": True}, {"conversations": [HUMAN], "history": []}),
        ({"prompt": "hi", "chosen": "yo", "rejected": "no"}, {"messages": [ASK], "output": "x"}),
        ({"conversations": [HUMAN], "chosen": GPT, "rejected": GPT}, {"messages": [ASK]}),
        ({"instruction": "hi", "input": "", "chosen": "a", "rejected": "b"}, {"completion": "c"}),
    ],
)
def test_what_a_thumb_or_a_pair_does_not_read_stays_among_its_tags(
    tmp_path: Path, record: dict[str, Any], unread: dict[str, Any]
) -> None:
    row = only(write(tmp_path / "a.jsonl", [record | unread]))
    alone = only(write(tmp_path / "a.jsonl", [record]))
    assert alone.tags == {}
    assert row.tags == unread
    row.tags = {}
    assert row == alone


def test_a_class_label_is_a_tag_and_not_a_thumb(tmp_path: Path) -> None:
    row = only(write(tmp_path / "a.jsonl", [{"messages": [ASK, ANSWER], "label": "sports"}]))
    assert (row.shape, row.tags) == ("chat", {"label": "sports"})


def test_the_same_rows_open_from_every_container(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    records = [{"messages": [ASK, {**ANSWER, "content": f"answer {i}"}]} for i in range(5)]
    write(tmp_path / "a.jsonl", records)
    (tmp_path / "a.json").write_text(json.dumps(records, indent=1))
    with (tmp_path / "a.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["messages"])
        writer.writerows([json.dumps(record["messages"])] for record in records)
    pq.write_table(pa.Table.from_pylist(records), tmp_path / "a.parquet", row_group_size=2)
    first = [row.messages for row in open_dataset(tmp_path / "a.jsonl")]
    for name in ("a.json", "a.csv", "a.parquet"):
        dataset = open_dataset(tmp_path / name)
        assert [row.messages for row in dataset] == first
        assert [dataset.row(n).messages for n in (4, 0, 2)] == [first[4], first[0], first[2]]


def test_rows_know_their_line(tmp_path: Path) -> None:
    lines = tmp_path / "a.jsonl"
    lines.write_bytes(b'\xef\xbb\xbf{"text": "a"}\r\n\r\n   \n{"text": "b\\u2028c"}\n{"text":"d"}')
    assert [(r.index, r.line, r.text) for r in open_dataset(lines)] == [
        (0, 1, "a"), (1, 4, "b\u2028c"), (2, 5, "d")
    ]  # fmt: skip
    array = tmp_path / "b.json"
    array.write_text('\n[\n  {"text": "a"},\n\n  {"text":\n "b"}, {"text": "c"}\n]\n')
    assert [(r.index, r.line, r.text) for r in open_dataset(array)] == [
        (0, 3, "a"), (1, 5, "b"), (2, 6, "c")
    ]  # fmt: skip
    table = tmp_path / "c.csv"
    table.write_bytes(b'text\r\n"one\n\ntwo"\r\nthree\r\n')
    assert [(r.index, r.line, r.text) for r in open_dataset(table)] == [
        (0, 2, "one\n\ntwo"), (1, 5, "three")
    ]  # fmt: skip


def test_what_strict_readers_refuse_still_opens(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b'{"text": "a", "score": NaN}\n{"text": "b\\ud800"}\n'
        b'{"text": "c\x00"}\n{"text": "d\\u0000"}'
    )
    assert [row.text for row in open_dataset(path)] == ["a", "b\ud800", "c\x00", "d\x00"]


def test_a_json_array_in_a_jsonl_file_opens_as_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('[{"text": "a"}, {"text": "b"}]\n')
    assert [row.text for row in open_dataset(path)] == ["a", "b"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
@pytest.mark.parametrize(
    "text",
    [
        '[{"text": "a"},\n{"text": "b"}\n]',
        '[{"text": "a"},\r\n{"text": "b"}\r\n]\r\n',
        '[{"text": "a"} ,\n\n{"text": "b"}]',
        '[{"text": "a"}\n,{"text": "b"}\n]',
        '[{"text":\n"a"}, {"text": "b", "more":\n{}\n}]',
        '[{"text": "a", "more":\n{"x": 1}\n}, {"text": "b"}]',
        '[{\n"text": "a"}, {"text": "b"}]',
    ],
)
def test_an_array_is_one_wherever_its_lines_end(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, newline="")
    dataset = open_dataset(tmp_path / name)
    assert (dataset.container, [row.text for row in dataset]) == ("json", ["a", "b"])


def test_a_first_row_that_is_a_list_leaves_the_others_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    for first in ("[1, 2]", "[1, 2", '["a": }'):
        path.write_text(f'{first}\n{{"text": "b"}}\n')
        assert [row.text for row in open_dataset(path) if row.problem is None] == ["b"]


def test_a_broken_row_says_why_and_the_others_open(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b'{"text": "a"}\n{"text": "half\n[1]\n{"messages": []}\n{"x": 1}\n\xff\xfe{}\n'
        b'{"messages": [{"role": "user", "content": 3}]}\n{"text": "z"}\n'
    )
    rows = list(open_dataset(path))
    assert [row.shape for row in rows] == ["text", *["broken"] * 6, "text"]
    problems = [str(row.problem) for row in rows]
    assert "half a JSON row" in problems[1]
    assert "a list, not an object" in problems[2]
    assert "messages is an empty list" in problems[3]
    assert "has x, but no fields that can be trained on" in problems[4]
    assert "not UTF-8" in problems[5]
    assert "messages[0].content is a number, not text" in problems[6]


def test_a_broken_element_of_an_array_costs_that_element_only(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[{"text": "a"},\n {"text": "b" "c"},\n {"text": "]"}\n')
    rows = list(open_dataset(path))
    assert [(row.line, row.text if row.problem is None else "!") for row in rows] == [
        (1, "a"), (2, "!"), (3, "]"), (4, "!")
    ]  # fmt: skip
    assert "cut off" in str(rows[3].problem)


def test_csv_rows_that_do_not_fit_are_broken(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('prompt,completion\na,b\nonly\nc,"d\n')
    shapes = [(row.line, row.shape) for row in open_dataset(path)]
    assert shapes == [(2, "prompt_completion"), (3, "broken"), (4, "broken")]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.jsonl", b"", "is empty"),
        ("a.jsonl", b"\n\n", "holds no rows"),
        ("a.jsonl", b'{"messages": [{"ro', r"a\.jsonl:1 breaks off: half a JSON row"),
        ("a.jsonl", b"\x89PNG\r\n\x1a\n\0\0", r"a\.jsonl:1 is not"),
        ("a.json", b'{\n "data": [1]\n}', r"a\.json:1 is one JSON object"),
        ("a.json", b"[]", "holds no rows"),
        ("a.jsonl", '{"text": "a"}'.encode("utf-16"), "is UTF-16"),
        ("a.parquet", b"PAR1 not really", "is not a Parquet file"),
        ("a.txt", b"hello", "is not a dataset"),
    ],
)
def test_a_file_that_is_no_dataset_is_one_sentence(
    tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=sentence):
        open_dataset(tmp_path / name)


def test_a_missing_file_a_folder_and_a_row_beyond_the_end_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no file"):
        open_dataset(tmp_path / "gone.jsonl")
    with pytest.raises(BadInput, match="is a folder"):
        open_dataset(tmp_path)
    dataset = open_dataset(write(tmp_path / "a.jsonl", [{"text": "a"}]))
    with pytest.raises(BadInput, match="1 rows, 0 to 0: no row 7"):
        dataset.row(7)


def bytes_read() -> int:
    """How many bytes this process has asked files for, ever."""
    return int(Path("/proc/self/io").read_text().split("rchar: ")[1].split("\n")[0])


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.jsonl.gz", "a.jsonl.zst"])
def test_one_row_is_read_without_the_others(tmp_path: Path, name: str) -> None:
    records = [{"text": f"row {n}"} for n in range(20_000)]
    dataset = open_dataset(held_as(tmp_path / name, records))
    before = bytes_read()
    assert [dataset.row(n).text for n in (19_999, 3, 10_000)] == ["row 19999", "row 3", "row 10000"]
    assert bytes_read() - before < 2000


def test_packed_members_may_follow_one_another_padded_with_zeros(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(
        gzip.compress(b'{"text": "a"}\n') + b"\0" * 9 + gzip.compress(b'{"text": "b"}')
    )
    assert [row.text for row in open_dataset(path)] == ["a", "b"]
    path.write_bytes(gzip.compress(b'{"text": "a"}\n') + b"\0" * 9)
    assert [row.text for row in open_dataset(path)] == ["a"]


def test_sft_examples_are_messages_text_or_prompt_and_completion(tmp_path: Path) -> None:
    record = {"instruction": "hi", "input": "", "output": "yo", "tools": json.dumps([TOOL])}
    alpaca = write(tmp_path / "a.jsonl", [record])
    examples, skipped = training_examples([alpaca], "sft")
    tools = [{"type": "function", "function": TOOL}]
    assert (examples, skipped) == ([{"messages": [ASK, ANSWER], "tools": tools}], [])
    pairs = write(tmp_path / "p.jsonl", [{"prompt": "hi", "completion": "yo"}])
    assert training_examples([pairs], "sft")[0] == [{"prompt": "hi", "completion": "yo"}]
    both, _ = training_examples([alpaca, pairs], "sft")
    assert both[1] == {"messages": [ASK, ANSWER]}
    text = write(tmp_path / "t.jsonl", [{"text": "a"}])
    assert training_examples([text], "sft")[0] == [{"text": "a"}]
    with pytest.raises(BadInput, match=r"t\.jsonl:1 is text but .*can't be trained on together"):
        training_examples([alpaca, text], "sft")


def test_preference_and_kto_examples_have_trls_columns(tmp_path: Path) -> None:
    pair = {"prompt": [ASK], "chosen": [ANSWER], "rejected": [ANSWER]}
    path = write(tmp_path / "p.jsonl", [{"conversations": [HUMAN], "chosen": GPT, "rejected": GPT}])
    assert training_examples([path], "dpo")[0] == [pair]
    path = write(tmp_path / "k.jsonl", [{"messages": [ASK, ANSWER], "label": True}])
    thumb = {"prompt": [ASK], "completion": [ANSWER], "label": True}
    assert training_examples([path], "kto")[0] == [thumb]


def test_rows_that_cannot_train_are_named_or_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    good = json.dumps({"messages": [ASK, ANSWER]})
    silent = json.dumps({"messages": [ASK]})
    path.write_text(f'{good}\n{{"half\n{silent}\n{{"text": "a\\ud800"}}\n')
    with pytest.raises(BadInput, match=r"a\.jsonl:2 breaks off.*\(3 rows can't be trained on\)"):
        training_examples([path], "sft")
    examples, skipped = training_examples([path], "sft", malformed="skip")
    assert len(examples) == 1
    assert [row.line for row in skipped] == [2, 3, 4]
    with pytest.raises(BadInput, match="no row of it can train dpo"):
        training_examples([path], "dpo", malformed="skip")


@pytest.mark.parametrize(
    ("row", "lacking"),
    [
        ('{"text": "a {b"', "its end, at column 16, lacks '}'"),
        ('{"messages": [{"role": "user"}', "its end, at column 31, lacks ']}'"),
        ('{"messages": [', "its end, at column 15, lacks a value and then ']}'"),
        ('{"text"', "its end, at column 8, lacks ':' with a value and then '}'"),
        ('{"text": "a', "the text that begins at column 10 never ends"),
    ],
)
def test_half_a_row_is_told_with_what_it_lacks(tmp_path: Path, row: str, lacking: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"text": "whole"}}\n{row}\n')
    assert open_dataset(path).row(1).problem == f"breaks off: half a JSON row ({lacking})"


_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["messages", "role", "content", "from", "value", "prompt", "chosen",
                         "rejected", "label", "tools", "text", "conversations", "history",
                         "instruction", "output", "tool_calls", "function", "name"]),
        inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(_json, min_size=1, max_size=5))
def test_any_json_gives_one_row_a_record_and_never_a_crash(records: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "a.jsonl", [*records, {"text": "end"}])
        rows = list(open_dataset(path))
    assert len(rows) == len(records) + 1
    assert all((row.shape == "broken") == (row.problem is not None) for row in rows)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80), st.sampled_from(["a.jsonl", "a.json", "a.csv", "a.parquet"]))
def test_any_bytes_are_rows_or_one_sentence(data: bytes, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        try:
            dataset = open_dataset(path)
        except BadInput:
            return
        assert [row.index for row in dataset] == list(range(len(dataset)))


def test_real_files_open_in_full(real_data: Path) -> None:
    shapes = {
        "alpaca_en_demo.json": ("alpaca", "chat", "sft"),
        "dpo_en_demo.json": ("preference", "preference", "dpo"),
        "glaive_toolcall_en_demo.json": ("sharegpt", "chat", "sft"),
        "kto_en_demo.json": ("kto", "kto", "kto"),
    }
    for name, (format_, shape, method) in shapes.items():
        dataset = open_dataset(real_data / name)
        assert dataset.format == format_
        assert {row.shape for row in dataset} == {shape}
        examples, skipped = training_examples([real_data / name], method)
        assert (len(examples), skipped) == (len(dataset), [])
