"""Every configuration row changes behaviour. Many are tried where their subject is; `rows.py` knows where, and a row that no test tries, here
or there, fails `test_every_row_is_tried`."""

import gzip
import json
import re
import signal
import socket
import threading
import time

import pytest
from certs import Authority
from h2raw import SETTINGS, Peer, frame, message
from harness import DOORS, SLOW, assert_balanced, run_command, until
from otlp import request_of, spans_of
from rows import ELSEWHERE, is_there, known, row, tried
from test_security import TCP, ask, context, digest, tls_sets


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


@row("listen.{otlp_grpc,otlp_http,query_http,metrics,health,zipkin,jaeger_grpc,jaeger_thrift_http,query_grpc,sampling_http,sampling_grpc,jaeger_compact,jaeger_binary}")
def test_listen(make):
    hosts = {door: f"127.0.0.{i}" for i, door in enumerate(DOORS, 2)}
    collector = make({f"listen.{door}": f"{host}:0" for door, host in hosts.items()})
    assert {door: address.split(":")[0] for door, address in collector.doors.items()} == hosts
    for door, address in collector.doors.items():
        host, port = address.split(":")
        with socket.socket(type=socket.SOCK_STREAM if door in TCP else socket.SOCK_DGRAM) as other, pytest.raises(OSError, match="in use"):
            other.bind((host, int(port)))


@pytest.mark.parametrize("half", [0, 1])
def test_doors_are_off(make, half):
    """query_http stays: it is asked which doors there are."""
    off = [door for door in DOORS[half::2] if door != "query_http"]
    collector = make({f"listen.{door}": "off" for door in off})
    assert {door["door"] for door in collector.status()["doors"]} == set(collector.doors) == set(DOORS) - set(off)


@row("ingest.body_bytes_max")
@pytest.mark.parametrize("limit, status", [("1KiB", 413), ("1MiB", 200)])
def test_body_bytes_max(make, limit, status):
    collector = make({"ingest.body_bytes_max": limit})
    body = request_of(20).SerializeToString()
    assert 1024 < len(body) < 1 << 20
    assert collector.send(body).status == status
    assert collector.send(gzip.compress(body), encoding="gzip").status == status


@row("ingest.body_bytes_max")
def test_body_bytes_max_of_a_reload(make, tmp_path):
    collector = make(config=configured(tmp_path / "limit.yaml", {"ingest": {"body_bytes_max": "1KiB"}}))
    body = request_of(20).SerializeToString()
    for limit, status in (("1MiB", 200), ("1KiB", 413), ("1MiB", 200)):
        reload(collector, {"ingest": {"body_bytes_max": limit}})
        answers = [collector.send(body).status, collector.send(gzip.compress(body), encoding="gzip").status]
        assert answers == [status] * 2, limit


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
    """While one half-sent body has the place beside a small budget, another waits unread; it is served when the first has gone."""
    collector = make({"http.bodies_bytes_max": limit, "threads": "1", "http.body_timeout": "1h"})
    host, _, port = collector.doors["otlp_http"].rpartition(":")
    head = b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/x-protobuf\r\nContent-Length: %d\r\n\r\n"
    first = socket.create_connection((host, int(port)), 10 * SLOW)
    first.sendall(head % 300_000 + bytes(200_000))
    until(lambda: collector.metric("meshglass_http_received_bytes_total", door="otlp_http") > 64 << 10, what="the first body")
    body = request_of(1000).SerializeToString()
    with socket.create_connection((host, int(port)), 10 * SLOW) as second:
        second.sendall(head % len(body) + body)
        if waits:
            until(lambda: collector.metric("meshglass_http_body_waits_total") == 1, what="the second to wait")
            first.close()
        assert second.recv(12) == b"HTTP/1.1 200"
        assert collector.metric("meshglass_http_body_waits_total") == waits
    first.close()


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


@row("store.free_min")
def test_free_min(make):
    """What no disk has free cannot stay free."""
    full = make({"store.free_min": "1000TiB"})
    until(lambda: full.send(request_of(1).SerializeToString()).status == 503, what="a refusal")
    send(make({"store.free_min": "0"}, name="off"))


# --- who and what may come in ---------------------------------------------------------------------------


def configured(path, rows):
    path.write_text(json.dumps(rows))  # JSON is YAML
    return path


def reload(collector, rows):
    """Gives the collector other rows, and waits until they hold."""
    before = collector.log_text().count("reloaded")
    configured(collector.config, rows)
    collector.process.send_signal(signal.SIGHUP)
    until(lambda: collector.log_text().count("reloaded") > before, what="the reload")


@row("ingest.rules")
def test_rules(make, tmp_path):
    rules = ['upsert zone = "eu, \\"west\\""', 'drop if name = "op-1"']
    collector = make(config=configured(tmp_path / "rules.yaml", {"ingest": {"rules": rules}}))

    def seen(tag):
        return {tuple(t["value"] for t in span["tags"] if t["key"] == tag) for span in collector.trace(send(collector, 5)).json()["data"][0]["spans"]}
    assert seen("zone") == {('eu, "west"',)}
    assert collector.ledger()["accepted"] == 4 and collector.metric("meshglass_spans_dropped_total", door="otlp_http") == 1
    reload(collector, {"ingest": {"rules": ["rename n -> number"]}})
    assert seen("zone") == {()} and seen("number") == {(i,) for i in range(5)}
    assert collector.ledger()["accepted"] == 14 and collector.metric("meshglass_spans_dropped_total") == 1
    reload(collector, {})
    assert seen("n") == {(i,) for i in range(5)}


@row("auth.open_doors")
def test_open_doors(make, tmp_path):
    paths = {"health": "/status", "metrics": "/metrics", "query_http": "/api/services"}

    def rows(*doors):
        return {"auth": {"tokens": [f"a query {digest('secret')}"]} | ({"open_doors": doors} if doors else {})}

    def expect(collector, *doors):
        answers = {door: collector.get(path, door).status for door, path in paths.items()}
        assert answers == {door: 200 if door in doors else 401 for door in paths}
    expect(make(config=configured(tmp_path / "usual.yaml", rows()), name="usual"), "health")
    other = make(config=configured(tmp_path / "other.yaml", rows("metrics")), name="other")
    expect(other, "metrics")
    reload(other, rows("health", "query_http"))
    expect(other, "health", "query_http")
    reload(other, rows())
    expect(other, "health")


@row("auth.client_certificates")
def test_client_certificates(make, tmp_path):
    authority = Authority(tmp_path)
    server, agent, stranger = (authority.issue(name, san) for name, san in (
        ("server", "IP:127.0.0.1"), ("agent", "DNS:agent.shop.example"), ("stranger", "DNS:agent.other.example")))
    collector = make(tls_sets(server, client_ca=authority.cert) | {"auth.client_certificates": "*.shop.example query"})
    for client, door, status in ((agent, "query_http", 200), (agent, "otlp_http", 403), (stranger, "query_http", 403)):
        assert ask(collector.doors[door], door, context(authority, client))[0] == status, (client, door)
    anybody = make(tls_sets(server, client_ca=authority.cert), name="anybody")
    assert ask(anybody.doors["query_http"], "query_http", context(authority, stranger))[0] == 200


@row("zipkin.{autocomplete_keys,lookback,limit}")
def test_zipkin(make, tmp_path):
    """The lookback is seen by a trace of two hours ago."""
    rows = {"zipkin": {"autocomplete_keys": ["zone", "color"], "lookback": "1h", "limit": 3}}
    usual, other = make(name="usual"), make(config=configured(tmp_path / "zipkin.yaml", rows))
    for collector, keys, zones, here, at_once in ((usual, [], [], 1, 10), (other, ["zone", "color"], ["east"], 0, 3)):
        send(collector, 2, service="old", start=time.time_ns() - 2 * 3600 * 10**9)
        for _ in range(12):
            send(collector, 2, service="new", attributes={"zone": "east"})
        assert collector.get("/api/v2/autocompleteKeys", "zipkin").json() == keys
        assert collector.get("/api/v2/autocompleteValues", "zipkin", key="zone").json() == zones
        assert len(collector.get("/api/v2/traces", "zipkin", serviceName="old").json()) == here
        assert len(collector.get("/api/v2/traces", "zipkin", serviceName="new").json()) == at_once
        assert len(collector.get("/api/v2/traces", "zipkin", serviceName="new", limit="11").json()) == 11
        assert len(collector.get("/api/v2/traces", "zipkin", serviceName="old", lookback=str(3 * 3600 * 1000)).json()) == 1


def test_sources_and_their_order(make, tmp_path):
    """--set beats the environment, which beats the file."""
    file = tmp_path / "meshglass.yaml"
    file.write_text("live:\n  trace_spans_max: 11\nquery:\n  traces_max: 12\nstore:\n  block_spans: 13\n")
    done = run_command("config", "--config", file, "--set", "live.trace_spans_max=31", env={"MESHGLASS_LIVE__TRACE_SPANS_MAX": "21", "MESHGLASS_QUERY__TRACES_MAX": "22"})
    assert done.returncode == 0, done.stderr
    for key, value in (("live.trace_spans_max", "31"), ("query.traces_max", "22"), ("store.block_spans", "13")):
        assert re.search(rf"^{key}: {value}\b", done.stdout, re.M), done.stdout


def test_every_row_is_tried():
    rows, marks = known(), tried()
    assert len(rows) > 100
    missing = [key for key in rows if key not in marks and key not in ELSEWHERE]
    assert not missing, f"rows that no test tries: {missing}"
    gone = (set(marks) | set(ELSEWHERE)) - set(rows)
    assert not gone, f"tests for rows that are gone: {gone}"
    lost = {key: where for key, where in ELSEWHERE.items() if not is_there(*where[:2])}
    assert not lost, f"named tests that are not there: {lost}"
