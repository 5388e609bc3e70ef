"""The corpus of a real shop, replayed: every span is readable by trace id and is what was sent; also after a restart
with the journal removed, which is allowed when a clean shutdown left nothing pending. Old traces come from LMDB then."""

import gzip
import shutil
import subprocess

import pytest
from harness import assert_balanced, run_command
from jaeger_view import assert_same
from otlp import ExportTraceServiceRequest, canonical, corpus, freshen, from_json, singles, span_of


def by_trace(requests):
    traces = {}
    for request in requests:
        for single in singles(request):
            traces.setdefault(span_of(single).trace_id.hex().removeprefix("0" * 16), []).append(single)
    return traces


def distinct(wanted):
    """Spans equal in every field are shown once."""
    return list({canonical(single): single for single in wanted}.values())


def check_every_trace(collector, traces):
    with collector.connect("query_http") as connection:
        for trace_id, wanted in traces.items():
            answer = connection.request("GET", f"/api/traces/{trace_id}?raw=true")
            assert answer.status == 200, (trace_id, answer)
            assert_same(answer.json()["data"][0], distinct(wanted))


def dump_of(data_dir):
    dump = run_command("store", "dump", data_dir, timeout=300)
    assert dump.returncode == 0, dump.stderr
    return [canonical(from_json(line)) for line in dump.stdout.splitlines()]


def test_replayed_corpus_is_identical(make, is_long):
    """Before the restart every fourth trace is asked for (in long runs every one), after it every one."""
    collector = make({"store.block_age": "1s"})
    requests = [freshen(ExportTraceServiceRequest.FromString(body), 1) for body in corpus()]
    n = 0
    with collector.connect("otlp_http") as connection:
        for i, request in enumerate(requests):
            body = request.SerializeToString()
            n += sum(1 for _ in singles(request))
            answer = collector.send(gzip.compress(body, 1) if i % 2 else body, encoding="gzip" if i % 2 else None, connection=connection)
            assert answer.status == 200 and answer.body == b"", answer
    ledger = collector.ledger()
    assert ledger["accepted"] == n
    assert_balanced(ledger)
    traces = by_trace(requests)
    check_every_trace(collector, dict(list(traces.items())[::1 if is_long else 4]))

    ledger = collector.settle(60)
    assert_balanced(ledger)
    assert ledger["stored"] + ledger["duplicate"] == n
    collector.stop()
    shutil.rmtree(collector.data_dir / "journal")

    again = collector.again().start()
    try:
        assert again.ledger() == ledger
        check_every_trace(again, traces)
    finally:
        again.stop()

    blocks = 0
    for partition in sorted((collector.data_dir / "store").glob("*.mdb")):
        out = subprocess.run(["mdb_stat", "-n", "-a", str(partition)], capture_output=True, text=True, check=True).stdout
        tables = dict(zip(out.split("Status of ")[1:], range(99)))
        blocks += sum(int(text.split("Entries: ")[1].split()[0]) for text in tables if text.startswith("blk"))
    assert blocks >= n // 200_000 + 1
    want = sorted(canonical(single) for wanted in traces.values() for single in distinct(wanted))
    assert sorted(dump_of(collector.data_dir)) == want
    check = run_command("store", "check", collector.data_dir, timeout=120)
    assert check.returncode == 0, check.stderr + check.stdout


def test_duplicates_are_counted_and_shown_once(make):
    collector = make()
    body = next(iter(corpus()))
    request = ExportTraceServiceRequest.FromString(body)
    n = sum(1 for _ in singles(request))
    for _ in range(2):
        assert collector.send(body).status == 200
    check_every_trace(collector, by_trace([request]))
    ledger = collector.settle()
    assert ledger["accepted"] == 2 * n
    assert_balanced(ledger)
    check_every_trace(collector, by_trace([request]))


@pytest.mark.core
def test_pending_traces_survive_a_clean_restart(make):
    """Undecided traces stay in the journal and continue their deadlines."""
    collector = make({"sampling.root_grace": "1h", "sampling.decision_wait": "1h"})
    request = ExportTraceServiceRequest.FromString(next(iter(corpus())))
    assert collector.send(request.SerializeToString()).status == 200
    before = collector.ledger()
    assert before["pending"] == before["accepted"] > 0
    collector.stop()
    again = collector.again().start()
    assert again.ledger() == before
    check_every_trace(again, by_trace([request]))
    again.stop()
    last = again.again(**{"sampling.root_grace": "0", "sampling.decision_wait": "0"}).start()
    ledger = last.settle()
    assert ledger["accepted"] == before["accepted"]
    assert_balanced(ledger)
    last.stop()
