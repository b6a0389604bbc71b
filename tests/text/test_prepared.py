"""Threads that decode to a type for the first time do not end the process."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import tuiwb

# Types that hold no record: nothing of them is kept from one decoding to the next.
PLAIN = re.compile(r"(dict|list)\[(str|int|Any|msgspec\.Raw|, )*\]")

SCRIPT = """
import sys, threading
import msgspec
from tuiwb.prepared import prepared
sys.setswitchinterval(1e-6)
ready = prepared if sys.argv[1] == "prepared" else lambda kind: kind
kept = []
for n in range(300):
    inner = msgspec.defstruct(f"Inner{n}", [("name", str), ("path", str)])
    more = [(f"f{i}", int, i) for i in range(15)]
    outer = msgspec.defstruct(f"Outer{n}", [("engine", str), ("inner", list[inner]), *more])
    kept.append((inner, outer))
    both = threading.Barrier(2)
    def decode(kind, value):
        both.wait()
        msgspec.convert(value, ready(kind))
    one = {"name": "n", "path": "p"}
    threads = [
        threading.Thread(target=decode, args=(outer, {"engine": "x", "inner": [one]})),
        threading.Thread(target=decode, args=(outer if n % 2 else list[inner],
                                              {"engine": "x", "inner": [one]} if n % 2 else [one])),
    ]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
print("all decoded")
"""


def test_two_threads_that_decode_to_a_type_first_both_get_their_record() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "prepared"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "all decoded", "")


def test_every_record_is_decoded_to_as_a_prepared_type() -> None:
    seen = 0
    for path in Path(tuiwb.__file__).parent.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_bytes())):
            if not isinstance(call, ast.Call):
                continue
            name = ast.unparse(call.func)
            if name == "msgspec.convert":
                kinds = call.args[1:2]
            elif re.fullmatch(r"msgspec\.(json|yaml|msgpack)\.decode", name):
                kinds = [one.value for one in call.keywords if one.arg == "type"]
            else:
                continue
            for kind in map(ast.unparse, kinds):
                seen += 1
                assert kind.startswith("prepared(") or PLAIN.fullmatch(kind), (path, kind)
    assert seen > 40
