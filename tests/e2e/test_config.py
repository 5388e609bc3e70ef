"""Every configuration row changes behaviour. The list of rows is what `config` prints; a row that is neither tried here
nor named with the test that tries it fails `test_every_row_is_tried`."""

import gzip
import json
import re
import socket
import threading

import pytest
from h2raw import SETTINGS, Peer, frame, message
from harness import SLOW, assert_balanced, run_command, until
from otlp import request_of, spans_of

ELSEWHERE = {
    "journal.durability": "unit tests of the journal count fdatasync calls; that os works is tried here",
    "store.retention": "unit tests of the store move the clock; the least value is a minute",
    "store.disk_max": "unit tests of the store fill small partitions",
    "store.free_min": "unit tests of the store give it a disk of their own (disk_test.c)",
    "store.pins_max": "unit tests of the store fill the archive (pins_test.c)",
    "ui.base_path": "unit tests of the UI and test_jaeger_ui.py",
    "ui.bytes_max": "unit tests of the UI",
    "http.connections_max": "tried here as a backlog",
}
TRIED = {}


def row(*keys):
    """Marks a test as the one that tries these rows."""
    def mark(function):
        for key in keys:
            TRIED[key] = function.__name__
        return function
    return mark


def send(collector, n=5, **more):
    request = request_of(n, **more)
    answer = collector.send(request.SerializeToString())
    assert answer.status == 200, answer
    return next(spans_of(request)).trace_id.hex()


@row("data_dir")
def test_data_dir(make, tmp_path):
    make({"data_dir": str(tmp_path / "deep/er")}, name="other")
    assert (tmp_path / "deep/er/LOCK").exists() and (tmp_path / "deep/er/journal").is_dir() and (tmp_path / "deep/er/store").is_dir()


@row("threads")
@pytest.mark.parametrize("n", [1, 3])
def test_threads(make, n):
    """More loops are more threads of the process."""
    collector = make({"threads": n})
    send(collector)
    count = int(re.search(r"^Threads:\s+(\d+)", open(f"/proc/{collector.process.pid}/status").read(), re.M).group(1))
    base = make({"threads": 1}, name="base")
    send(base)
    least = int(re.search(r"^Threads:\s+(\d+)", open(f"/proc/{base.process.pid}/status").read(), re.M).group(1))
    assert count - least == n - 1


@row("listen.otlp_grpc", "listen.otlp_http", "listen.query_http", "listen.metrics", "listen.health")
@pytest.mark.parametrize("door", ["otlp_grpc", "otlp_http", "query_http", "metrics", "health"])
def test_listen(make, door):
    collector = make({f"listen.{door}": "127.0.0.2:0"})
    assert collector.doors[door].startswith("127.0.0.2:")
    with collector.connect(door):
        pass
    off = make({f"listen.{door}": "off"}, name="off")
    assert door not in off.doors


@row("ingest.body_bytes_max")
@pytest.mark.parametrize("limit, status", [("1KiB", 413), ("1MiB", 200)])
def test_body_bytes_max(make, limit, status):
    collector = make({"ingest.body_bytes_max": limit})
    body = request_of(20).SerializeToString()
    assert 1024 < len(body) < 1 << 20
    assert collector.send(body).status == status
    assert collector.send(gzip.compress(body), encoding="gzip").status == status


@row("live.ring_bytes")
def test_ring_bytes(make):
    small, large = make({"live.ring_bytes": "16MiB"}), make({"live.ring_bytes": "64MiB"}, name="large")
    assert small.status()["ring"]["budget_bytes"] == 16 << 20
    assert large.status()["ring"]["budget_bytes"] == 64 << 20


@row("ingest.wait")
def test_wait(make):
    """Bodies that together do not fit are refused at once without a wait, and taken one after the other with one."""
    body = gzip.compress(request_of(1, attributes={"zeros": "0" * (14 << 20)}).SerializeToString(), 1)

    def answers(collector):
        got, threads = [], [threading.Thread(target=lambda: got.append(collector.send(body, encoding="gzip").status)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        return got
    hasty = make({"live.ring_bytes": "16MiB", "ingest.wait": "0"})
    until(lambda: 503 in answers(hasty), 60, "a refusal")
    patient = make({"live.ring_bytes": "16MiB", "ingest.wait": "8s"}, name="patient")
    assert answers(patient) == [200] * 8
    assert patient.metric("meshglass_ingest_waits_total") > 0


@row("live.trace_spans_max")
def test_trace_spans_max(make):
    slow = {"sampling.root_grace": "1h", "sampling.decision_wait": "1h"}
    collector = make(slow | {"live.trace_spans_max": "10"})
    send(collector, 9)
    assert collector.metric("meshglass_decisions_total", reason="early") == 0
    send(collector, 10)
    until(lambda: collector.metric("meshglass_decisions_total", reason="early") >= 1, what="an early decision")
    other = make(slow | {"live.trace_spans_max": "1000"}, name="other")
    send(other, 100)
    assert other.metric("meshglass_decisions_total", reason="early") == 0


@row("sampling.root_grace")
def test_root_grace(make):
    quick = make({"sampling.root_grace": "0", "sampling.decision_wait": "1h"})
    send(quick)
    quick.settle()
    assert quick.metric("meshglass_decisions_total", reason="root") == 1
    slow = make({"sampling.root_grace": "1h", "sampling.decision_wait": "1h"}, name="slow")
    send(slow)
    threading.Event().wait(0.5)
    assert slow.ledger()["pending"] == 5


@row("sampling.decision_wait")
def test_decision_wait(make):
    def orphan(collector):
        request = request_of(3)
        for span in spans_of(request):
            span.parent_span_id = b"\7" * 8
        assert collector.send(request.SerializeToString()).status == 200
    quick = make({"sampling.root_grace": "1h", "sampling.decision_wait": "100ms"})
    orphan(quick)
    quick.settle()
    assert quick.metric("meshglass_decisions_total", reason="deadline") == 1
    slow = make({"sampling.root_grace": "0", "sampling.decision_wait": "1h"}, name="slow")
    orphan(slow)
    threading.Event().wait(0.5)
    assert slow.ledger()["pending"] == 3


@row("store.block_age")
def test_block_age(make):
    slow = make({"store.block_age": "5m"})
    send(slow)
    until(lambda: slow.metric("meshglass_decisions_total") == 1, what="the decision")
    threading.Event().wait(0.5)
    assert slow.ledger()["stored"] == 0
    quick = make({"store.block_age": "10ms"}, name="quick")
    send(quick)
    assert quick.settle()["stored"] == 5


@row("store.block_spans")
def test_block_spans(make):
    collector = make({"store.block_age": "5m", "store.block_spans": "100"})
    for _ in range(5):
        send(collector, 60)
    until(lambda: collector.ledger()["stored"] >= 240, what="blocks by size")
    assert collector.status()["store"]["blocks"] >= 2


@row("store.partition_age")
def test_partition_age(make):
    collector = make({"store.partition_age": "1s"})
    send(collector)
    collector.settle()

    def rolled():
        send(collector)
        return collector.status()["store"]["partitions"] >= 3
    until(rolled, 30, "a third partition")
    ledger = collector.settle()
    assert_balanced(ledger)
    collector.stop()
    hourly = make({}, name="hourly")
    send(hourly)
    hourly.settle()
    assert hourly.status()["store"]["partitions"] == 1


@row("query.traces_max")
def test_traces_max(make):
    collector = make({"query.traces_max": "3"})
    for _ in range(5):
        send(collector)
    answer = collector.get("/api/traces", limit="10")
    assert answer.status in (400, 500) or len(answer.json()["data"]) == 3, answer
    assert len(collector.search(limit="2")) == 2
    other = make({"query.traces_max": "10"}, name="other")
    for _ in range(5):
        send(other)
    assert len(other.search(limit="10")) == 5


@row("query.scan_bytes_max")
def test_scan_bytes_max(make):
    """A search that would unpack more than the row allows says so; a narrower one goes on."""
    small = make({"query.scan_bytes_max": "64KiB", "store.block_spans": "200"})
    for _ in range(60):
        send(small, 500)
    small.settle()
    wide = small.get("/api/traces", limit="1000")
    assert wide.status == 413 and b"query.scan_bytes_max" in wide.body, wide
    assert small.get("/api/traces", service="no-such-service").status == 200


@row("query.memory_max")
def test_memory_max(make):
    small = make({"query.memory_max": "1MiB"})
    trace_id = send(small, 20_000)
    answer = small.trace(trace_id)
    assert answer.status in (413, 500, 503) and b"query.memory_max" in answer.body, answer
    assert small.trace(send(small, 10)).status == 200
    large = make({"query.memory_max": "512MiB"}, name="large")
    assert large.trace(send(large, 20_000)).status == 200


@row("query.timeout")
def test_timeout(make):
    short = make({"query.timeout": "1ms"})
    for _ in range(10):
        send(short, 10_000)
    answer = short.get("/api/traces", limit="100", tag="n:nothing")
    assert answer.status in (503, 504) or answer.status == 500, answer
    long = make({"query.timeout": "30s"}, name="long")
    send(long, 10_000)
    assert long.get("/api/traces", limit="100", tag="n:nothing").status == 200


@row("query.threads", "query.queue_max")
def test_query_threads_and_queue(make):
    """One thread and one place in the queue: of many at once some are refused; with room none is."""
    for sets, may_refuse, name in (({"query.threads": "1", "query.queue_max": "1"}, True, "small"), ({"query.threads": "4", "query.queue_max": "1000"}, False, "large")):
        collector = make(sets, name=name)
        trace_id = send(collector, 10_000)
        answers, lock = [], threading.Lock()

        def ask():
            answer = collector.trace(trace_id)
            with lock:
                answers.append(answer.status)
        threads = [threading.Thread(target=ask) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(answers) <= ({200, 503} if may_refuse else {200}), answers
        assert (503 in answers) == may_refuse, answers
        collector.stop()


def raw(collector, data, door="otlp_http", seconds=10):
    host, _, port = collector.doors[door].rpartition(":")
    got = b""
    with socket.create_connection((host, int(port)), seconds * SLOW) as peer:
        peer.sendall(data)
        try:
            while piece := peer.recv(65536):
                got += piece
        except TimeoutError:
            return None
        except ConnectionResetError:
            pass
    return got


@row("http.header_bytes_max")
@pytest.mark.parametrize("limit, status", [("2KiB", 431), ("64KiB", 200)])
def test_header_bytes_max(make, limit, status):
    collector = make({"http.header_bytes_max": limit})
    assert collector.request("query_http", "GET", "/api/services", headers={"X": "y" * 5000}).status == status


@row("http.header_timeout")
def test_header_timeout(make):
    half = b"GET /api/services HTTP/1.1\r\nHo"
    assert b" 408 " in raw(make({"http.header_timeout": "100ms"}), half)
    assert raw(make({"http.header_timeout": "10m"}, name="long"), half, seconds=1) is None


@row("http.body_timeout")
def test_body_timeout(make):
    half = b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    assert b" 408 " in raw(make({"http.body_timeout": "100ms"}), half)
    assert raw(make({"http.body_timeout": "1h"}, name="long"), half, seconds=1) is None


@row("http.idle_timeout")
def test_idle_timeout(make):
    one = b"GET /api/services HTTP/1.1\r\nHost: x\r\n\r\n"
    assert b" 200 " in raw(make({"http.idle_timeout": "100ms"}), one, "query_http")
    assert raw(make({"http.idle_timeout": "24h"}, name="long"), one, "query_http", seconds=1) is None


def settings_of(collector):
    """The SETTINGS the server sends, and the connection's window."""
    with Peer(collector.doors["otlp_grpc"]) as peer:
        found, window = {}, 65535
        handle = peer.handle

        def spy(kind, flags, stream, payload):
            nonlocal window
            if kind == SETTINGS and not flags & 1:
                found.update({int.from_bytes(payload[i:i + 2], "big"): int.from_bytes(payload[i + 2:i + 6], "big") for i in range(0, len(payload), 6)})
            if kind == 8 and stream == 0:
                window += int.from_bytes(payload, "big")
            handle(kind, flags, stream, payload)
        peer.handle = spy
        assert peer.reply(peer.grpc(message(b""))).grpc()[0] == 0  # a PING would overtake the WINDOW_UPDATE
        return found, window


@row("http.streams_max", "http.stream_window", "http.connection_window")
@pytest.mark.parametrize("streams, window, connection", [(7, 64 << 10, 128 << 10), (256, 1 << 20, 4 << 20)])
def test_http2_settings(make, streams, window, connection):
    collector = make({"http.streams_max": streams, "http.stream_window": window, "http.connection_window": connection})
    found, connection_window = settings_of(collector)
    assert found[3] == streams and found[4] == window and connection_window == connection


@row("http.reset_max")
@pytest.mark.parametrize("limit, ends", [("10", True), ("1000", False)])
def test_reset_max(make, limit, ends):
    from h2raw import RST_STREAM
    from test_http2_abuse import HEAD
    collector = make({"http.reset_max": limit})
    with Peer(collector.doors["otlp_grpc"]) as peer:
        for _ in range(60):
            peer.send(frame(RST_STREAM, 0, peer.headers(HEAD), (8).to_bytes(4, "big")))
        peer.send(frame(6, 0, 0, bytes(8)))
        while peer.goaway is None and not peer.closed and peer.acks < 2:
            peer.step()
        assert (peer.goaway is not None) == ends


@row("http.connections_max")
def test_connections_max(make):
    collector = make({"http.connections_max": "2", "threads": "1"})
    host, _, port = collector.doors["otlp_http"].rpartition(":")
    peers = [socket.create_connection((host, int(port))) for _ in range(2)]
    until(lambda: collector.metric("meshglass_http_connections", door="otlp_http") == 2, what="two connections")
    third = socket.create_connection((host, int(port)), 1)
    third.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    with pytest.raises(TimeoutError):
        third.recv(1)
    for peer in peers:
        peer.close()
    third.settimeout(10 * SLOW)
    assert third.recv(20).startswith(b"HTTP/1.1 405"), "the third is served when one has gone"
    third.close()


@row("http.bodies_bytes_max")
@pytest.mark.parametrize("limit, waits", [("64KiB", True), ("256MiB", False)])
def test_bodies_bytes_max(make, limit, waits):
    """While one half-sent body fills the memory of bodies, another waits unread; it is served when the first has gone."""
    collector = make({"http.bodies_bytes_max": limit, "threads": "1", "http.body_timeout": "1h"})
    host, _, port = collector.doors["otlp_http"].rpartition(":")
    head = b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/x-protobuf\r\nContent-Length: %d\r\n\r\n"
    first = socket.create_connection((host, int(port)), 10 * SLOW)
    first.sendall(head % 300_000 + bytes(200_000))
    until(lambda: collector.metric("meshglass_http_received_bytes_total", door="otlp_http") > 64 << 10, what="the first body")
    body = request_of(200).SerializeToString()
    with socket.create_connection((host, int(port)), 1 if waits else 10 * SLOW) as second:
        second.sendall(head % len(body) + body)
        if waits:
            with pytest.raises(TimeoutError):
                second.recv(1)
            first.close()
            second.settimeout(10 * SLOW)
        assert second.recv(12) == b"HTTP/1.1 200"
    first.close()


@row("journal.durability")
@pytest.mark.parametrize("value", ["commit", "os"])
def test_durability(make, value):
    collector = make({"journal.durability": value})
    trace_id = send(collector)
    collector.kill()
    again = collector.again().start()
    assert again.trace(trace_id).status == 200
    again.stop()


@row("log.level", "log.format")
def test_log(make):
    quiet = make({"log.level": "error"})
    quiet.stop()
    assert not quiet.log, quiet.log
    plain = make({"log.level": "info"}, name="plain")
    for _ in range(20):
        send(plain)
    plain.stop()
    assert any("serving" in line for line in plain.log)
    assert len(plain.log) < 15, "no lines per request at info"
    as_json = make({"log.format": "json"}, name="json")
    as_json.stop()
    assert as_json.log and all(json.loads(line) for line in as_json.log)


def test_sources_and_their_order(make, tmp_path):
    """--set beats the environment, which beats the file."""
    file = tmp_path / "meshglass.yaml"
    file.write_text("live:\n  trace_spans_max: 11\nquery:\n  traces_max: 12\nstore:\n  block_spans: 13\n")
    done = run_command("config", "--config", file, "--set", "live.trace_spans_max=31", env={"MESHGLASS_LIVE__TRACE_SPANS_MAX": "21", "MESHGLASS_QUERY__TRACES_MAX": "22"})
    assert done.returncode == 0, done.stderr
    for key, value in (("live.trace_spans_max", "31"), ("query.traces_max", "22"), ("store.block_spans", "13")):
        assert re.search(rf"^{key}: {value}\b", done.stdout, re.M), done.stdout


def test_every_row_is_tried():
    keys = [line.split(":")[0] for line in run_command("config").stdout.splitlines() if re.match(r"[a-z_.0-9]+:", line)]
    assert len(keys) > 20
    missing = [key for key in keys if key not in TRIED and key not in ELSEWHERE]
    assert not missing, f"rows that no test tries: {missing}"
    assert not set(TRIED) - set(keys), f"tests for rows that are gone: {set(TRIED) - set(keys)}"
