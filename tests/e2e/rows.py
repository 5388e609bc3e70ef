"""rows.py - which test tries which configuration row.

A test that sees behaviour change when a row changes says so with @row; the marks of all files here are read from their sources, so that
none has to be imported. What only a unit test can see is named in ELSEWHERE, and must be there under that name.
"""

import ast
import pathlib
import re

from harness import ROOT, run_command

HERE = pathlib.Path(__file__).resolve().parent

ELSEWHERE = {  # row: (file, name of the test in it, why not here)
    "journal.durability": ("tests/unit/journal/journal_test.c", "os_durability_syncs_nothing", "only a file system of our own counts syncs"),
    "store.retention": ("tests/unit/store/retain_test.c", "retention_goes_by_the_last_commit", "the least value is a minute; there the clock moves"),
    "store.decisions_max": ("tests/unit/store/why_test.c", "decisions_max_drops_the_oldest_alone", "it takes more than one sealed partition"),
    "sampling.verdicts_bytes": ("tests/unit/live/verdict_table_test.c", "test_a_new_limit_takes_effect_when_it_fills", "the least holds thousands of verdicts"),
    "sampling.head.delta_tolerance": ("tests/unit/sample/adaptive_test.c", "test_next", "there the traffic is exact"),
    "sampling.head.aggregation_buckets": ("tests/unit/sample/adaptive_test.c", "test_history", "there the clock moves"),
    "sampling.head.calculation_buckets": ("tests/unit/sample/adaptive_test.c", "test_weights", "there the clock moves"),
    "kafka.in_flight_bytes": ("tests/unit/consume/take_test.c", "no_more_is_polled_than_may_be_under_way", "there the loop takes nothing"),
}


def row(*keys):
    """Marks a test as one that tries these rows; {a,b} in a key stands for a and for b."""
    assert all(map(spread, keys))
    return lambda function: function


def spread(key):
    """exporters.{otlp,zipkin}.ca: exporters.otlp.ca, exporters.zipkin.ca."""
    found = re.search(r"\{([\w,]+)\}", key)
    if not found:
        return [key]
    return [one for word in found[1].split(",") for one in spread(key[:found.start()] + word + key[found.end():])]


def tried():
    """{row: the tests marked with it} of all files here."""
    marks = {}
    for path in sorted(HERE.glob("test_*.py")):
        for function in ast.parse(path.read_text()).body:
            for call in getattr(function, "decorator_list", ()):
                if not isinstance(call, ast.Call) or getattr(call.func, "id", None) != "row":
                    continue
                assert function.name.startswith("test_"), f"{path.name}: {function.name} has a mark and is no test"
                for key in call.args:
                    for one in spread(ast.literal_eval(key)):
                        marks.setdefault(one, []).append(f"{path.name}::{function.name}")
    return marks


def known():
    """Every row of the program: those without a default are printed as comments, by `config` as well as by its reference page."""
    listed = re.findall(r"^(?:# )?([a-z_0-9.]+):", run_command("config").stdout, re.M)
    described = re.findall(r"^\| `([a-z_0-9.]+)` \|", run_command("config", "--reference").stdout, re.M)
    assert listed and sorted(listed) == sorted(described), set(listed) ^ set(described)
    return listed


def is_there(file, name):
    """Has the file this test?"""
    path = ROOT / file
    return path.exists() and re.search(rf"\b{name}\b", path.read_text()) is not None
