"""Statuses of the gRPC door: a table through grpcio, and one of raw frames for what grpcio would not send."""

import base64
import gzip

import grpc
import pytest
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status
from h2raw import EXPORT, Peer, message
from harness import SLOW, assert_balanced
from otlp import ExportTraceServiceResponse, add_span, new_id, request_of, spans_of

pytestmark = pytest.mark.core
GOOD = request_of(2).SerializeToString()
C = grpc.StatusCode
SERVICE = "/opentelemetry.proto.collector"


@pytest.fixture(scope="module")
def collector(tmp_path_factory):
    from harness import Collector
    with Collector(tmp_path_factory.mktemp("grpc") / "data", {"ingest.body_bytes_max": "1MiB"}) as it:
        yield it


def call(collector, method, body, **options):
    with grpc.insecure_channel(collector.doors["otlp_grpc"]) as channel:
        return channel.unary_unary(method)(body, timeout=10 * SLOW, **options)


def assert_goes_on(collector):
    request = request_of(3)
    assert call(collector, EXPORT, request.SerializeToString()) == b""
    found = collector.trace(next(spans_of(request)).trace_id.hex())
    assert found.status == 200 and len(found.json()["data"][0]["spans"]) == 3


CALLS = [
    ("export", EXPORT, GOOD, C.OK), ("nothing in it", EXPORT, b"", C.OK),
    ("malformed", EXPORT, GOOD[:-2], C.INVALID_ARGUMENT), ("field number 0", EXPORT, b"\x02\x00", C.INVALID_ARGUMENT),
    ("too large", EXPORT, b"\x7a\xff\xff\x7f" + bytes((1 << 20) + 100), C.RESOURCE_EXHAUSTED),
    ("metrics", SERVICE + ".metrics.v1.MetricsService/Export", b"", C.UNIMPLEMENTED),
    ("logs", SERVICE + ".logs.v1.LogsService/Export", b"", C.UNIMPLEMENTED),
    ("profiles", SERVICE + ".profiles.v1development.ProfilesService/Export", b"", C.UNIMPLEMENTED),
    ("no such method", SERVICE + ".trace.v1.TraceService/Import", b"", C.UNIMPLEMENTED),
    ("case of the path", EXPORT.lower(), b"", C.UNIMPLEMENTED), ("no such service", "/a.b/C", b"", C.UNIMPLEMENTED),
    ("health", "/grpc.health.v1.Health/Check", b"", C.OK),
    ("health of the service", "/grpc.health.v1.Health/Check", b"\x0a\x33opentelemetry.proto.collector.trace.v1.TraceService", C.OK),
    ("health of a stranger", "/grpc.health.v1.Health/Check", b"\x0a\x01x", C.NOT_FOUND),
    ("health list", "/grpc.health.v1.Health/List", b"", C.OK), ("health watch", "/grpc.health.v1.Health/Watch", b"", C.UNIMPLEMENTED),
]


PLAIN, GZIP = grpc.Compression.NoCompression, grpc.Compression.Gzip
CASES = [(*row, PLAIN) for row in CALLS] + [(*row, GZIP) for row in CALLS if not row[0].startswith("health")]  # a probe never compresses


@pytest.mark.parametrize("name, method, body, code, compression", CASES, ids=[f"{row[0]}-{row[4].name}" for row in CASES])
def test_status(collector, name, method, body, code, compression):
    if code == C.OK:
        answer = call(collector, method, body, compression=compression)
        assert (answer == b"") == (method == EXPORT)
        if name in ("health", "health of the service"):
            assert answer == b"\x08\x01"
    else:
        with pytest.raises(grpc.RpcError) as caught:
            call(collector, method, body, compression=compression)
        assert caught.value.code() == code, caught.value
        trailing = {k: v for k, v in caught.value.trailing_metadata() or ()}
        assert "google.rpc.retryinfo-bin" not in trailing  # nothing here gets better by sending it again
        if details := trailing.get("grpc-status-details-bin"):
            status = Status.FromString(details)
            assert status.code == code.value[0] and not any(d.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for d in status.details)
    assert_goes_on(collector)


def test_partial_success(collector):
    request = request_of(2)
    add_span(request, trace_id=new_id(16), span_id=b"short", name="bad")
    before = collector.ledger()
    partial = ExportTraceServiceResponse.FromString(call(collector, EXPORT, request.SerializeToString())).partial_success
    assert partial.rejected_spans == 1 and partial.error_message
    after = collector.ledger()
    assert (after["accepted"], after["refused"]) == (before["accepted"] + 2, before["refused"] + 1)
    assert_balanced(after)


def test_many_calls_on_one_connection(collector):
    before = collector.ledger()["accepted"]
    with grpc.insecure_channel(collector.doors["otlp_grpc"]) as channel:
        method = channel.unary_unary(EXPORT)
        calls = [method.future(request_of(10).SerializeToString(), timeout=20 * SLOW) for _ in range(300)]
        assert all(one.result() == b"" for one in calls)
    assert collector.ledger()["accepted"] == before + 3000


GZ = ("grpc-encoding", "gzip")
FRAMES = [  # name, options of Peer.grpc, HTTP status, grpc-status
    ("good", {"body": message(GOOD)}, 200, 0), ("one byte a frame", {"body": message(GOOD), "piece": 1}, 200, 0),
    ("type with +proto", {"body": message(GOOD), "type": "application/grpc+proto"}, 200, 0),
    ("type with a parameter", {"body": message(GOOD), "type": "application/grpc;a=b"}, 200, 0),
    ("type absent", {"body": message(GOOD), "type": None}, 415, 3), ("type text", {"body": message(GOOD), "type": "text/plain"}, 415, 3),
    ("type grpc-web", {"body": message(GOOD), "type": "application/grpc-web"}, 415, 3),
    ("GET", {"body": None, "method": "GET"}, 405, 13), ("PUT", {"body": message(GOOD), "method": "PUT"}, 405, 13),
    ("no message", {"body": b""}, 200, 13), ("no body", {"body": None}, 200, 13), ("two messages", {"body": message(GOOD) * 2}, 200, 13),
    ("half a prefix", {"body": b"\0\0\0"}, 200, 13), ("half a message", {"body": message(GOOD)[:-1]}, 200, 13),
    ("compressed without an encoding", {"body": message(gzip.compress(GOOD), 1)}, 200, 13),
    ("compressed flag of 2", {"body": message(GOOD, 2)}, 200, 13),
    ("encoding gzip, flag 0", {"body": message(GOOD), "extra": [GZ]}, 200, 0),
    ("encoding gzip", {"body": message(gzip.compress(GOOD), 1), "extra": [GZ]}, 200, 0),
    ("encoding corrupt", {"body": message(gzip.compress(GOOD)[:-4], 1), "extra": [GZ]}, 200, 3),
    ("encoding bomb", {"body": message(gzip.compress(bytes(64 << 20)), 1), "extra": [GZ]}, 200, 8),
    ("encoding unknown", {"body": message(GOOD, 1), "extra": [("grpc-encoding", "br")]}, 200, 12),
    ("encoding unknown, flag 0", {"body": message(GOOD), "extra": [("grpc-encoding", "br")]}, 200, 12),
    ("declares 4 GiB and ends", {"body": b"\0\xff\xff\xff\xff" + bytes(100)}, 200, (8, 13)),
    ("timeout malformed", {"body": message(GOOD), "extra": [("grpc-timeout", "10x")]}, 400, 13),
    ("timeout of 9 digits", {"body": message(GOOD), "extra": [("grpc-timeout", "123456789S")]}, 400, 13),
    ("timeout passed", {"body": message(GOOD), "extra": [("grpc-timeout", "1n")]}, 200, 4),
    ("timeout long", {"body": message(GOOD), "extra": [("grpc-timeout", "99999999H")]}, 200, 0),
    ("unknown path", {"body": message(GOOD), "path": "/x"}, 200, 12),
]


@pytest.mark.parametrize("name, options, status, code", FRAMES, ids=[row[0] for row in FRAMES])
def test_frames(collector, name, options, status, code):
    with Peer(collector.doors["otlp_grpc"]) as peer:
        reply = peer.reply(peer.grpc(**options))
        codes = code if isinstance(code, tuple) else (code,)
        assert reply.status == status and reply.grpc()[0] in codes, (reply.headers, reply.trailers, reply.reset)
        if code == 0:
            assert reply.data == message(b"")
        else:
            assert reply.grpc()[1], "no grpc-message"
        if code == 12 and "encoding" in name:
            accepted = (reply.headers | reply.trailers)["grpc-accept-encoding"]
            assert "gzip" in accepted and "identity" in accepted
        if details := (reply.headers | reply.trailers).get("grpc-status-details-bin"):
            try:
                assert Status.FromString(base64.b64decode(details + "==")).code in codes
            except DecodeError as error:
                raise AssertionError(details) from error
        again = peer.reply(peer.grpc(message(request_of(1).SerializeToString())))  # the connection is still good
        assert again.grpc()[0] == 0, (again.headers, again.trailers, again.reset)
    assert_goes_on(collector)
