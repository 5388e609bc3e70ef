"""Starting and ending: SIGTERM under load, health while starting, readiness lines, order of doors."""

import contextlib
import json
import signal
import socket
import threading
import time

import pytest
from harness import DOORS, SLOW, assert_balanced, until
from otlp import request_of, spans_of
from test_kill import Load, lost_from
from test_security import TCP

pytestmark = pytest.mark.core


def test_sigterm_under_load(make):
    """Exit 0 within 5 s, and nothing acked is lost."""
    collector = make({"sampling.root_grace": "100ms", "store.block_age": "10s"})
    load = Load(collector, 1)
    until(lambda: len(load.acked) > 20, 20, "twenty acks")
    begun = time.monotonic()
    collector.process.send_signal(signal.SIGTERM)
    code = collector.wait_exit(5 * SLOW)
    load.stop()
    assert code == 0 and time.monotonic() - begun < 5 * SLOW, collector.log_text()
    collector.check_log()
    again = collector.again().start()
    assert not lost_from(again, load.acked)
    ledger = again.ledger()
    assert_balanced(ledger)
    assert ledger["accepted"] >= sum(map(len, load.acked.values()))
    again.stop()


def test_sigterm_with_silent_connections(make):
    """Idle and half-sent requests do not hold the end up."""
    collector = make()
    peers = []
    for door in TCP:
        host, _, port = collector.doors[door].rpartition(":")
        for start in (b"", b"POST /v1/traces HTTP/1.1\r\nHost: x\r\n", b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 100\r\n\r\nabc"):
            peer = socket.create_connection((host, int(port)))
            peer.sendall(start)
            peers.append(peer)
    collector.stop()
    for peer in peers:
        peer.close()


def test_sigterm_while_every_peer_hangs(make):
    """Exporters whose peers take connections and answer nothing, and a request that does not go on: their waits do not add up."""
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(4)]  # nobody accepts: the backlog does
        urls = dict(zip(("otlp", "zipkin", "elasticsearch", "kafka"), ("127.0.0.1:%d" % peer.getsockname()[1] for peer in peers)))
        sets = {f"exporters.{kind}.batch_wait": "20ms" for kind in urls} | {"exporters.kafka.brokers": urls.pop("kafka"), "exporters.kafka.topic": "out"}
        collector = make(sets | {f"exporters.{kind}.endpoint": f"http://{where}" for kind, where in urls.items()} | {"sampling.root_grace": "50ms"})
        assert collector.send(request_of(2).SerializeToString()).status == 200
        for kind in ("otlp", "zipkin", "elasticsearch", "kafka"):
            until(lambda: collector.metric("meshglass_export_queue_batches", exporter=kind) == 1, 20, f"a batch for {kind}")
        host, _, port = collector.doors["otlp_http"].rpartition(":")
        half = stack.enter_context(socket.create_connection((host, int(port))))
        half.sendall(b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 100\r\n\r\nabc")
        collector.process.send_signal(signal.SIGTERM)
        assert collector.wait_exit(5 * SLOW) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals(make, number):
    collector = make()
    collector.process.send_signal(number)
    assert collector.wait_exit(5 * SLOW) == 0


def test_sigterm_right_after_start(make):
    for _ in range(3):
        collector = make(wait=False)
        collector.wait_ready(["health"])
        collector.stop()


def test_ready_lines(make):
    collector = make()
    events = [json.loads(line) for line in collector.lines]
    assert all(set(event) == {"event", "door", "address"} for event in events)
    order = [event["door"] for event in events]
    assert sorted(order) == sorted(DOORS)
    assert set(order[:2]) == {"health", "metrics"}, "health and metrics open first"
    assert all(not event["address"].endswith(":0") for event in events)
    listed = {door["door"]: door["address"] for door in collector.status()["doors"]}
    assert listed == collector.doors


def test_doors_can_be_off(make):
    collector = make({"listen.otlp_grpc": "off", "listen.metrics": "off"})
    assert set(collector.doors) == set(DOORS) - {"otlp_grpc", "metrics"}
    assert collector.send(request_of(1).SerializeToString()).status == 200


def test_health(make):
    collector = make()
    answer = collector.get("/status", "health")
    assert answer.status == 200 and answer.json()["status"] == "serving", answer
    status = collector.status()
    assert status["state"] == "serving" and status["replay"]["done"]


def test_health_while_replaying(make):
    """503 with progress until the log is read; the data doors open only then."""
    collector = make({"sampling.root_grace": "1h", "sampling.decision_wait": "1h"})
    body = request_of(500).SerializeToString()
    with collector.connect("otlp_http") as connection:
        for _ in range(200):
            assert collector.send(body, connection=connection).status == 200
    accepted = collector.ledger()["accepted"]
    collector.kill()
    again = collector.again().start(wait=False)
    again.wait_ready(["health"])
    seen = set()

    def watch():
        answer = again.get("/status", "health")
        body = answer.json()
        seen.add((answer.status, body["status"]))
        assert (answer.status == 503) == (body["status"] == "starting")
        if answer.status == 503:
            assert body["replay"]["records"] <= body["replay"]["total"] and "replay" in body and body["reason"]
        return answer.status == 200
    until(watch, 60, "the end of the replay")
    again.wait_ready()
    assert (200, "serving") in seen
    ledger = again.ledger()
    assert ledger["accepted"] == accepted
    assert_balanced(ledger)
    again.stop()


def test_repeated_restarts_keep_the_ledger(make):
    collector = make()
    total, trace_ids = 0, []
    for i in range(5):
        request = request_of(7 + i)
        assert collector.send(request.SerializeToString()).status == 200
        total += 7 + i
        trace_ids.append(next(spans_of(request)).trace_id.hex())
        if i % 2:
            collector.kill()
        else:
            collector.stop()
        collector = collector.again().start()
        ledger = collector.ledger()
        assert ledger["accepted"] == total
        assert_balanced(ledger)
        assert all(collector.trace(trace_id).status == 200 for trace_id in trace_ids)
    collector.stop()


def test_one_stuck_reader_does_not_stop_others(make):
    """A client that asks and never reads holds only itself up."""
    collector = make()
    big = request_of(20_000)
    trace_id = next(spans_of(big)).trace_id.hex()
    assert collector.send(big.SerializeToString()).status == 200
    import socket
    host, _, port = collector.doors["query_http"].rpartition(":")
    with socket.create_connection((host, int(port))) as peer:
        peer.sendall(f"GET /api/traces/{trace_id} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        threading.Event().wait(0.2)
        assert collector.trace(trace_id).status == 200
        collector.stop()
