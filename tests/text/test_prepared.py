"""Threads that decode to a type for the first time do not end the process."""

import subprocess
import sys

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
