"""What must hold when something goes wrong at a bad moment or a peer is hostile: a stop while the log is read, a sync that fails
once, names and ids chosen to be expensive, bodies that claim a lot, a new configuration with a mistake, a second instance.

tests/fault/gate.c holds or fails a call on the log at the moment a test says; tests/fault/powercut.c moves the clock."""

import gzip
import json
import os
import shutil
import signal
import subprocess
import threading
import time
import zlib

import pytest
from harness import DOORS, IS_SANITIZED, ROOT, SLOW, Collector, assert_balanced, until
from otlp import ExportTraceServiceRequest, ExportTraceServiceResponse, add_span, new_id, request_of, spans_of
from power import BUSY, Disk, layer, layer_env  # noqa: F401
from test_kill import lost_from

UNDECIDED = {"sampling.root_grace": "1h", "sampling.decision_wait": "1h"}
MIB = 1 << 20


@pytest.fixture(scope="session")
def gate(tmp_path_factory):
    """gate(**settings): the environment of a program under gate.c."""
    if IS_SANITIZED:
        pytest.skip("the library must come before a sanitizer's")
    library = tmp_path_factory.mktemp("gate") / "gate.so"
    compiler = os.environ.get("CC") or shutil.which("cc")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-U_FORTIFY_SOURCE", "-o", library, ROOT / "tests/fault/gate.c", "-ldl"], check=True)
    return lambda **settings: {"LD_PRELOAD": str(library)} | {f"GATE_{key.upper()}": str(value) for key, value in settings.items()}


# --- requests --------------------------------------------------------------------------------------------

def ids_of(request):
    """{trace: span ids} of one request, as lost_from wants it."""
    found = {}
    for span in spans_of(request):
        found.setdefault(span.trace_id.hex(), []).append(span.span_id.hex())
    return found


def send(collector, request, **more):
    """Sends it, compressed when it is large; the spans are acked."""
    body = request.SerializeToString()
    if len(body) > MIB:
        body, more = gzip.compress(body, 1), more | {"encoding": "gzip"}
    answer = collector.send(body, **more)
    assert answer.status == 200, answer
    return ids_of(request)


def orphans(n, bytes_each):
    """Spans of one trace without its root, so that it waits for decision_wait; their text does not compress."""
    request = request_of(n + 1)
    del request.resource_spans[0]
    for span in spans_of(request):
        span.name = os.urandom(bytes_each // 2).hex()
    return request


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def wrap(number, payload):
    return bytes([number << 3 | 2]) + varint(len(payload)) + payload


def body_of_spans(spans, rest=b""):
    """A request of encoded spans in one scope; the published classes are too slow for tens of thousands."""
    return wrap(1, wrap(2, b"".join(wrap(2, span) for span in spans) + rest))


def small_span(trace_id, span_id, parent_id=b""):
    now = time.time_ns().to_bytes(8, "little")
    return wrap(1, trace_id) + wrap(2, span_id) + (wrap(4, parent_id) if parent_id else b"") + wrap(5, b"x") + b"\x39" + now + b"\x41" + now


def assert_goes_on(collector):
    """The next spans are stored, and no commit ever failed."""
    stored = collector.ledger()["stored"]
    acked = send(collector, request_of(7))
    until(lambda: collector.ledger()["stored"] >= stored + 7, 20, "seven more spans in the store")
    assert not lost_from(collector, acked)
    assert collector.status()["store"]["failed_commits"] == 0


# --- ending while the log is read --------------------------------------------------------------------------

def test_sigterm_while_the_log_is_read_loses_nothing(make, gate, tmp_path):
    """The end comes before the first read of the log, between two, and near the last one. What was decided and what was not is
    all there at the start that reads it to its end."""
    collector = make(UNDECIDED | {"sampling.root_grace": "50ms"})
    acked = {}
    for _ in range(5):
        acked |= send(collector, orphans(10, 16 << 10))
        acked |= send(collector, request_of(5))
    until(lambda: collector.ledger()["stored"] == 25, 20, "the decided spans in the store")
    before = collector.ledger()
    assert before["pending"] == 50 and before["accepted"] == 75
    collector.kill()
    hold = tmp_path / "hold"
    for passing in (0, 1, 3):
        hold.write_text("")
        collector = make(collector.sets, wait=False, env=gate(read=hold, **{"pass": passing}))
        try:
            until(hold.read_text, 20, "a read of the log")
            collector.wait_ready(["health"])
            assert collector.get("/status", "health").json()["status"] == "starting"
            collector.process.send_signal(signal.SIGTERM)
            until(lambda: "stopping" in "".join(collector.log), 5, "the signal in the log")
            assert collector.is_running(), "it waits for the read"
        finally:
            hold.unlink()
        assert collector.wait_exit(5 * SLOW) == 0, collector.log_text()
        assert "otlp_http" not in collector.doors
        collector = make(collector.sets)
        assert collector.ledger() == before
        assert_balanced(before)
        assert not lost_from(collector, acked)
        collector.kill()


@pytest.mark.core
def test_sigterm_near_the_end_of_the_log_ends_at_once(make):
    """Thirty starts, each ended a little later than the one before, from the first ready line to past the last one."""
    collector = make(UNDECIDED)
    acked = {}
    for _ in range(20):
        acked |= send(collector, orphans(25, 200))
    before = collector.ledger()
    collector.kill()
    starts, span, doors = 30, 0.05, set()
    for number in range(starts):
        collector = make(collector.sets, wait=False)
        collector.wait_ready(["health"])
        begun = time.monotonic()
        if number == 0:
            collector.wait_ready()
            span = 1.3 * (time.monotonic() - begun)
        threading.Event().wait(span * number / starts)  # moments, not barriers
        doors.add(len(collector.doors))
        collector.stop()
    assert len(doors) > 1, "all ends fell on the same side of the end of the replay"
    collector = make(collector.sets)
    assert collector.ledger() == before
    assert not lost_from(collector, acked)
    collector.stop()


# --- a sync that fails once ----------------------------------------------------------------------------------

def fail_a_decision(collector, fails):
    """Twenty spans whose decision fails to sync, then three of the same trace that are decided and stored. None when the failure
    met another call, or the first decision was tried again before the later one was stored."""
    trace_id = new_id(16)
    first, second = request_of(20, trace_id=trace_id), request_of(3, trace_id=trace_id)
    send(collector, first)
    fails.touch()
    try:
        until(lambda: not fails.exists(), 2, "the failed sync of the decision")
    except AssertionError:
        return None
    answer = collector.send(second.SerializeToString())
    if answer.status == 503:
        return None
    assert answer.status == 200, answer
    until(lambda: collector.ledger()["stored"] >= 3, 20, "the later decision in the store")
    return (first, second) if collector.ledger()["pending"] == 20 else None


def test_a_decision_that_was_not_synced_is_not_lost_behind_a_later_one(make, gate, tmp_path):
    """The sync of a decision fails once, a later one is stored, kill -9 before the first is tried again: the store's position must
    not stand for the decision that never became durable."""
    fails = tmp_path / "fails"
    for attempt in range(6):
        collector = make({"threads": "1", "sampling.root_grace": "200ms", "sampling.decision_wait": "1h", "store.block_age": "10ms"},
                         name=f"data-{attempt}", env=gate(sync_fails=fails))
        sent = fail_a_decision(collector, fails)
        collector.kill()
        if sent:
            break
        fails.unlink(missing_ok=True)
    assert sent, "the failure never met a decision"
    assert "decisions not durable" in collector.log_text()
    collector = make({"threads": "1"}, name=f"data-{attempt}")
    ledger = collector.settle()
    assert ledger["accepted"] == ledger["stored"] == 23, ledger
    acked = [ids_of(request) for request in sent]
    assert not lost_from(collector, acked[0]) and not lost_from(collector, acked[1])
    trace_id = next(iter(acked[0]))
    spans = collector.trace(trace_id, raw="true").json()["data"][0]["spans"]
    assert len(spans) == len({span["spanID"] for span in spans}) == 23
    collector.stop()


# --- hostile names, ids and bodies -----------------------------------------------------------------------------

@pytest.mark.parametrize("parent, child", [(34, None), (9, 9)], ids=["one service of 34 MiB", "two of 9 MiB"])
def test_service_names_of_megabytes_are_stored(make, unsanitized, parent, child):
    """A parent and a child whose services have names longer than any key of the store."""
    collector = make({"live.ring_bytes": "1GiB"})
    request = ExportTraceServiceRequest()
    now, trace_id, root = time.time_ns(), new_id(16), new_id(8)
    add_span(request, "a" * (parent * MIB), trace_id=trace_id, span_id=root, name="parent", start_time_unix_nano=now, end_time_unix_nano=now)
    if child:
        second = add_span(request, "b" * (child * MIB))
    else:
        second = request.resource_spans[0].scope_spans[0].spans.add()
    second.MergeFrom(next(spans_of(request)))
    second.name, second.span_id, second.parent_span_id = "child", new_id(8), root
    acked = send(collector, request)
    ledger = collector.settle()
    assert ledger["stored"] == ledger["accepted"] == 2, ledger
    assert_goes_on(collector)
    collector.kill()
    collector = make(collector.sets)
    assert len(collector.trace(trace_id.hex()).json()["data"][0]["spans"]) == len(acked[trace_id.hex()]) == 2
    assert_goes_on(collector)
    collector.stop()


def edges(collector):
    now = int(time.time() * 1000)
    return collector.get("/api/dependencies", endTs=now + 60_000, lookback=600_000).json()["data"]


def test_edges_of_many_services_are_bounded(make, unsanitized):
    """Twenty thousand services called by one in a minute: all spans are stored and all calls counted, in fewer edges."""
    n = 20_000
    collector = make({"live.ring_bytes": "512MiB"})
    trace_id, root = new_id(16), new_id(8)
    groups = [(b"root", small_span(trace_id, root))] + [(b"service-%d" % i, small_span(trace_id, new_id(8), root)) for i in range(n)]
    body = b"".join(wrap(1, wrap(1, wrap(1, wrap(1, b"service.name") + wrap(2, wrap(1, name)))) + wrap(2, wrap(2, span))) for name, span in groups)
    assert collector.send(gzip.compress(body, 1), encoding="gzip").status == 200
    ledger = collector.settle()
    assert ledger["stored"] == n + 1, ledger
    found = edges(collector)
    assert len(found) < n and sum(edge["callCount"] for edge in found) == n, len(found)
    assert any(edge["child"] == "(other)" for edge in found)
    assert_goes_on(collector)
    collector.stop()


@pytest.mark.parametrize("what", ["service", "name"])
def test_huge_names_do_not_stay_in_memory(make, unsanitized, what):
    """Neither what is kept to list the names of services and operations nor what a start reads of it grows with their length."""
    size, limit = 8 * MIB, 64 * MIB
    collector = make({"live.ring_bytes": "512MiB", "threads": "1"})

    def store(numbers):
        for i in numbers:
            send(collector, request_of(1, **{what: f"{i}" + "a" * size}))
            collector.settle()
    store(range(4))  # buffers have their size then
    before = collector.resident_bytes()
    store(range(4, 24))
    until(lambda: collector.resident_bytes() < before + limit, 5, f"memory for 20 names of {size} bytes given back")
    assert_goes_on(collector)
    collector.stop()
    collector = make(collector.sets)
    assert collector.resident_bytes() < limit, "names read at the start"
    collector.stop()


INVERSE = pow(0x9E3779B97F4A7C15, -1, 1 << 64)
COLLIDING = {
    "equal after a golden multiplication": lambda i: (i + 1) * INVERSE % (1 << 64),
    "equal low halves": lambda i: i + 1 << 32,
    "equal high halves": lambda i: i + 1 << 40 | 1 if i < 1 << 16 else i,
}


@pytest.mark.parametrize("family", COLLIDING)
def test_colliding_span_ids_cost_no_time(make, unsanitized, family):
    """Fifty thousand span ids that fall into few places of a simple hash table, in one trace."""
    n = 50_000
    collector = make({"threads": "1", "live.ring_bytes": "1GiB"})
    trace_id, ids = new_id(16), [COLLIDING[family](i).to_bytes(8, "little") for i in range(n)]
    spans = [small_span(trace_id, ids[i], ids[0] if i else b"") for i in range(n)]
    assert collector.send(gzip.compress(body_of_spans(spans), 1), encoding="gzip").status == 200
    begun = time.monotonic()
    ledger = collector.settle(10)
    assert ledger["stored"] == n, ledger
    assert time.monotonic() - begun < 10
    assert_goes_on(collector)
    collector.stop()


def test_one_good_span_among_millions_of_empty_ones_is_kept(make, unsanitized):
    """38 KB become twenty million spans without ids: they are refused and counted, the good one is acked and survives a kill."""
    n, trace_id = 20_000_000, new_id(16)
    collector = make(UNDECIDED | {"threads": "1", "live.ring_bytes": "400MiB"})
    good = small_span(trace_id, new_id(8))
    body = gzip.compress(body_of_spans([good], b"\x12\x00" * n), 6)
    assert len(body) < 64 << 10
    answer = collector.send(body, encoding="gzip")
    assert answer.status == 200, answer
    partial = ExportTraceServiceResponse.FromString(answer.body).partial_success
    assert partial.rejected_spans == n and partial.error_message, partial
    assert collector.resident_bytes() < 512 * MIB
    collector.kill()
    collector = make(collector.sets)
    assert collector.trace(trace_id.hex()).status == 200
    ledger = collector.ledger()
    assert ledger["accepted"] == 1, ledger
    assert_balanced(ledger)
    collector.stop()


def test_a_small_deflate_body_does_not_wait_for_a_large_one_s_room(make, unsanitized):
    """Deflate does not say how large its body becomes. A hundred bytes that might become the limit need no room for it, even
    with spans in the ring, and a plain request behind them is answered too."""
    collector = make(UNDECIDED | {"threads": "1", "live.ring_bytes": "512MiB", "ingest.wait": "8s"})
    send(collector, request_of(1))
    times = []

    def timed(deflated):
        body = request_of(1).SerializeToString()
        body, encoding = (zlib.compress(body), "deflate") if deflated else (body, None)
        assert not deflated or len(body) < 200
        begun = time.monotonic()
        answer = collector.send(body, encoding=encoding)
        times.append((answer.status, deflated, time.monotonic() - begun))
    timed(True)
    threads = [threading.Thread(target=timed, args=(deflated,)) for deflated in (True, False, True, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(times) == 5 and all(status == 200 and seconds < 6 for status, _, seconds in times), times
    assert collector.ledger()["pending"] == 6
    collector.stop()


# --- a new configuration -----------------------------------------------------------------------------------------

def reload(collector, file, text, lines_of):
    """Writes the file, sends SIGHUP, and waits for one more line of the log that contains `lines_of`."""
    def n_lines():
        return sum(lines_of in line for line in list(collector.log))
    before = n_lines()
    file.write_text(text)
    collector.process.send_signal(signal.SIGHUP)
    until(lambda: n_lines() > before, 20, f"a line with {lines_of!r}")
    return [line for line in collector.log if lines_of in line][-1]


def is_allowed(collector, limit):
    """Whether a search may ask for so many traces (query.traces_max); it finds small ones only."""
    answer = collector.get("/api/traces", limit=str(limit), service="shop")
    return answer.status == 200


@pytest.fixture
def reloadable(make, tmp_path):
    """A collector with a file: searches for at most 3 traces."""
    file = tmp_path / "meshglass.yaml"
    file.write_text("query:\n  traces_max: 3\n")
    collector = make(config=file)
    send(collector, request_of(2))
    assert is_allowed(collector, 3) and not is_allowed(collector, 4)
    return collector, file


@pytest.mark.core
def test_sighup_changes_query_limits(reloadable):
    collector, file = reloadable
    big = send(collector, request_of(20_000, service="large"))
    trace_id = next(iter(big))
    assert collector.trace(trace_id).status == 200
    reload(collector, file, "query:\n  traces_max: 5\n  memory_max: 1MiB\n", "event=reloaded")
    assert is_allowed(collector, 5) and not is_allowed(collector, 6)
    answer = collector.trace(trace_id)
    assert answer.status != 200 and b"query.memory_max" in answer.body, answer
    reload(collector, file, "{}\n", "event=reloaded")
    assert is_allowed(collector, 6), "a key that is gone has its default again"
    assert collector.trace(trace_id).status == 200
    collector.stop()


@pytest.mark.core
def test_sighup_changes_the_log_level(reloadable):
    collector, file = reloadable
    reload(collector, file, "log:\n  level: info\n", "event=reloaded")
    file.write_text("log:\n  level: error\nquery:\n  traces_max: 2\n")
    collector.process.send_signal(signal.SIGHUP)
    until(lambda: not is_allowed(collector, 3), 20, "the limit of a reload that is not logged")
    line = reload(collector, file, "log:\n  level: info\n  format: json\n", "reloaded")
    assert line.startswith("{"), "the form of the lines changed as well"
    assert sum("reloaded" in line for line in collector.log) == 2, "the one with level error was not written"
    collector.stop()


def test_sighup_changes_the_retention(tmp_path, layer):  # noqa: F811
    """What is an hour old stays with two hours of retention and goes after the reload says a minute."""
    disk, file = Disk(tmp_path / "disk"), tmp_path / "meshglass.yaml"
    collector = disk.plain()
    send(collector, request_of(10))
    collector.settle()
    collector.stop()
    file.write_text("store:\n  retention: 2h\n")
    old = disk.data / "store/000001.mdb"
    collector = Collector(disk.data, BUSY, config=file, env=layer_env(disk.folder, wall_s=3600))
    with collector:
        def has_rolled():
            send(collector, request_of(5))
            collector.settle()
            return max(int(path.stem) for path in old.parent.glob("*.mdb")) >= 3
        until(has_rolled, 20, "newer partitions")
        assert old.exists() and "partition dropped" not in collector.log_text()
        reload(collector, file, "store:\n  retention: 1m\n", "event=reloaded")
        until(lambda: not old.exists(), 20, "the end of the old partition")


WRONG = [  # name, file, line, words
    ("value", "query:\n  traces_max: 50\nstore:\n  retention: soon\n", 4, "store.retention"),
    ("unknown key", "query:\n  traces_max: 50\n  traces_mx: 50\n", 3, "traces_max"),
    ("no YAML", "query:\n  traces_max: 50\nstore: ]\n", 3, ""),
    ("out of range", "log:\n  level: error\nquery:\n  traces_max: 50\n  timeout: 2h\n", 5, "query.timeout"),
]


@pytest.mark.core
@pytest.mark.parametrize("text, line, words", [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_sighup_with_a_mistake_changes_nothing(reloadable, text, line, words):
    collector, file = reloadable
    said = reload(collector, file, text, "reload refused")
    assert f"{file}:{line}: " in said and words in said, said
    assert is_allowed(collector, 3) and not is_allowed(collector, 4)
    assert send(collector, request_of(2))
    reload(collector, file, "query:\n  traces_max: 4\n", "event=reloaded")
    assert is_allowed(collector, 4) and not is_allowed(collector, 5)
    collector.stop()


def bulky(number, policy_type="string_attribute"):
    """Rows that a reload may change, several hundred KiB of them: attribute rules and tail rules keep what has this number."""
    policy = {"name": "newest", "type": policy_type, policy_type: {"key": "generation", "values": [str(number)]}}
    return json.dumps({  # JSON is YAML
        "ingest": {"rules": [f'upsert generation = "{number}"'] + [f"delete {'k' * 1500}-{number}-{i}" for i in range(200)]},
        "sampling": {"policies": [policy], "classes": [], "floor": {"traces_per_second": 0},
                     "head": {"overrides": [{"service": f"shop-{number}", "probability": 0.5}]}},
        "zipkin": {"autocomplete_keys": [f"key-{number}"]},
        "cors": {"origins": [f"https://{number}.example.com"]},
        "auth": {"tokens": [f"a-{number} query,ingest,admin sha256:{number:064x}"], "open_doors": list(DOORS)},
        "query": {"traces_max": 100 + number},
        "kafka": {"group": f"group-{number}"},  # for the next start
    })


def assert_in_force(collector, number):
    trace = new_id(16)
    send(collector, request_of(3, trace_id=trace))

    def decided():
        answer = collector.get(f"/api/meshglass/v1/why/{trace.hex()}").json()
        return answer["decision"] not in ("pending", "unknown") and answer["decision"]
    assert until(decided, what="a decision") == "kept", "both attribute rules and tail rules are the newest"
    tags = [{tag["key"]: tag["value"] for tag in span["tags"]} for span in collector.trace(trace.hex()).json()["data"][0]["spans"]]
    assert [found["generation"] for found in tags] == [str(number)] * 3
    assert collector.get("/api/v2/autocompleteKeys", "zipkin").json() == [f"key-{number}"]
    answer = collector.get("/api/services", headers={"Origin": f"https://{number}.example.com"})
    assert answer.headers.get("access-control-allow-origin") == f"https://{number}.example.com"
    assert is_allowed(collector, 100 + number) and not is_allowed(collector, 101 + number)


def test_reloads_leave_nothing_behind(make, tmp_path):
    """Under ingest, and those that are refused too. What each was given is far more than what all of them may leave."""
    file, warm, rounds = tmp_path / "meshglass.yaml", 20, 40 if IS_SANITIZED else 150
    file.write_text(bulky(0))
    collector = make({"threads": "2"}, config=file)
    turns, is_over, refused = threading.Semaphore(0), threading.Event(), []

    def keep_sending():  # so many beside each reload, however fast the machine is
        with collector.connect("otlp_http") as connection:
            while turns.acquire() and not is_over.is_set():
                answer = collector.send(request_of(5).SerializeToString(), connection=connection)
                if answer.status != 200:
                    refused.append(answer)
    sender = threading.Thread(target=keep_sending)
    sender.start()
    sizes = []
    try:
        for number in range(1, warm + rounds + 1):
            turns.release(20)
            if number % 3 == 0:
                reload(collector, file, bulky(number, "no_such_policy"), "reload refused")
                assert_in_force(collector, number - 1)
            reload(collector, file, bulky(number), "event=reloaded")
            if number % 10 == 0:
                assert_in_force(collector, number)
            if number in (warm, warm + rounds):
                sizes.append(collector.resident_bytes())
    finally:
        is_over.set()
        turns.release()
        sender.join(20 * SLOW)
    assert not refused, refused[:3]
    assert_balanced(collector.settle(60))
    if not IS_SANITIZED:
        assert sizes[1] - sizes[0] < rounds * len(bulky(0)) // 4, sizes
    collector.stop()


def test_sighup_without_the_file_changes_nothing(reloadable):
    collector, file = reloadable
    file.unlink()
    collector.process.send_signal(signal.SIGHUP)
    until(lambda: any("reload refused" in line and str(file) in line for line in list(collector.log)), 20, "the refusal in the log")
    assert is_allowed(collector, 3) and not is_allowed(collector, 4)
    collector.stop()


def test_sighup_says_what_needs_a_restart(make, tmp_path):
    """A listener stays where it is; the log says that the change is for the next start, and only when there is one."""
    file = tmp_path / "meshglass.yaml"
    start = "listen:\n  metrics: 127.0.0.1:0\n"
    file.write_text(start)
    collector = make({"listen.metrics": None}, config=file)
    door = collector.doors["metrics"]
    reload(collector, file, start + "query:\n  traces_max: 3\n", "event=reloaded")
    assert "next start" not in collector.log_text()
    line = reload(collector, file, "listen:\n  metrics: 127.0.0.1:9\nquery:\n  traces_max: 4\n", "next start")
    assert "listen." in line and "warn" in line.lower(), line
    until(lambda: not is_allowed(collector, 5) and is_allowed(collector, 4), 20, "the rest of the reload")
    assert collector.get("/metrics", "metrics").status == 200
    assert [door_["address"] for door_ in collector.status()["doors"] if door_["door"] == "metrics"] == [door]
    collector.stop()


# --- a second instance ---------------------------------------------------------------------------------------------

@pytest.mark.core
def test_a_second_instance_is_refused(make):
    """Its data directory or any of its addresses is taken: exit status 1 and a sentence that names it. The first goes on."""
    first = make()
    send(first, request_of(3))
    for door in DOORS:
        address = first.doors[door]
        second = make({f"listen.{door}": address}, name=f"second-{door}", wait=False)
        assert second.wait_exit(10 * SLOW) == 1, second.log_text()
        last = second.log[-1]
        assert last.startswith("meshglass-collector: ") and address in last and "in use" in last, second.log_text()
        assert door not in second.doors
        second.check_log()
    second = make(wait=False)
    assert second.wait_exit(10 * SLOW) == 1
    assert str(first.data_dir) in second.log[-1] and not second.doors, second.log_text()
    assert_goes_on(first)
    first.stop()
