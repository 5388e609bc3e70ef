"""Overload (R10, P4): a ring far too small for the load. The answer is delayed, then refused with 503 / UNAVAILABLE and a hint;
what was acked is there, memory stays bounded, and afterwards everything goes on."""

import gzip
import os
import threading

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from harness import IS_SANITIZED, assert_balanced
from otlp import request_of, set_attributes, spans_of
from test_kill import EXPORT, lost_from

SMALL = {"live.ring_bytes": "16MiB", "ingest.wait": "200ms", "sampling.root_grace": "300ms", "store.block_age": "200ms"}


@pytest.mark.core
def test_twice_the_load(make):
    collector = make(SMALL)
    acked, refused, other, lock, end = {}, [], [], threading.Lock(), threading.Event()

    def sender(number):
        with collector.connect("otlp_http") as connection:
            while not end.is_set():
                request = request_of(1500, service=f"s{number}", attributes={"text": "x" * 100, "n": number})
                answer = collector.send(gzip.compress(request.SerializeToString(), 1), encoding="gzip", connection=connection)
                with lock:
                    if answer.status == 200:
                        acked[next(spans_of(request)).trace_id.hex()] = [span.span_id.hex() for span in spans_of(request)]
                    elif answer.status == 503:
                        refused.append(answer.headers.get("retry-after"))
                    else:
                        other.append(answer)

    threads = [threading.Thread(target=sender, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    end.wait(6)
    peak = collector.resident_bytes()
    end.set()
    for thread in threads:
        thread.join(30)
    assert not other, other[:3]
    assert all(hint is not None and 1 <= int(hint) <= 3 for hint in refused), set(refused)
    assert acked
    if not IS_SANITIZED:
        assert peak < 400 << 20, peak
    assert_balanced(collector.ledger())
    ledger = collector.settle(60)
    assert ledger["accepted"] >= sum(map(len, acked.values()))
    assert_balanced(ledger)
    assert not lost_from(collector, acked)
    assert collector.send(request_of(5).SerializeToString()).status == 200, "goes on afterwards"
    collector.stop()


def distinct(n, bytes_each, **more):
    """A request whose spans share no text."""
    request = request_of(n, **more)
    for span in spans_of(request):
        set_attributes({"text": os.urandom(bytes_each // 2).hex()}, span.attributes)
    return request


def test_a_full_ring_decides_early_rather_than_refuse(make):
    """Nothing is decided by time here: the oldest traces are when the ring nears its cap, and the load goes on."""
    collector = make(SMALL | {"sampling.root_grace": "1h", "sampling.decision_wait": "1h", "ingest.wait": "5s"})
    for _ in range(300):
        answer = collector.send(distinct(100, 2000).SerializeToString())
        assert answer.status == 200, answer
    assert collector.metric("meshglass_decisions_total", reason="early") > 0
    ledger = collector.ledger()
    assert ledger["accepted"] == 30_000
    assert_balanced(ledger)
    collector.stop()


def test_a_waiting_body_makes_room(make):
    """A body whose bound is more than what is free waits, and the oldest traces are decided for it."""
    collector = make(SMALL | {"sampling.root_grace": "1h", "sampling.decision_wait": "1h", "ingest.wait": "5s"})
    for _ in range(20):
        answer = collector.send(distinct(500, 2000).SerializeToString())
        assert answer.status == 200, answer
    collector.stop()


def refusals(send, n=8, rounds=20):
    """Sends from n sides at once, again until something was refused."""
    refused, lock = [], threading.Lock()

    def side():
        answer = send()
        if answer is not None:
            with lock:
                refused.append(answer)
    for _ in range(rounds):
        threads = [threading.Thread(target=side) for _ in range(n)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        if refused:
            return refused
    raise AssertionError(f"{n * rounds} bodies of 14 MiB fit into 16 MiB")


@pytest.mark.core
def test_refusals_carry_hints(make):
    """Bodies that together do not fit and do not wait are refused, with the hint each protocol knows."""
    collector = make(SMALL | {"ingest.wait": "0"})
    body = gzip.compress(request_of(1, attributes={"zeros": "0" * (14 << 20)}).SerializeToString(), 1)

    def over_http():
        answer = collector.send(body, encoding="gzip")
        return answer if answer.status != 200 else None
    refused = refusals(over_http)
    for answer in refused:
        assert answer.status == 503 and 1 <= int(answer.headers["retry-after"]) <= 3, answer
        status = Status.FromString(answer.body)
        assert status.code == 14 and any(detail.Is(RetryInfo.DESCRIPTOR) for detail in status.details)
    assert collector.metric("meshglass_ingest_requests_total", door="otlp_http", outcome="busy") >= len(refused)

    plain = request_of(1, attributes={"zeros": "0" * (14 << 20)}).SerializeToString()

    def over_grpc():
        with grpc.insecure_channel(collector.doors["otlp_grpc"]) as channel:
            try:
                channel.unary_unary(EXPORT)(plain, timeout=30, compression=grpc.Compression.Gzip)
            except grpc.RpcError as error:
                return error
        return None
    for error in refusals(over_grpc):
        assert error.code() == grpc.StatusCode.UNAVAILABLE, error
        trailing = dict(error.trailing_metadata())
        assert 1 <= RetryInfo.FromString(trailing["google.rpc.retryinfo-bin"]).retry_delay.seconds <= 3
        status = Status.FromString(trailing["grpc-status-details-bin"])
        assert status.code == 14 and any(detail.Is(RetryInfo.DESCRIPTOR) for detail in status.details)
    assert collector.send(request_of(5).SerializeToString()).status == 200
    assert_balanced(collector.ledger())
    collector.stop()
