"""HTTP/2 abuse: the connection is ended or the stream refused with the code the RFC names, memory stays bounded, and the
next good request succeeds."""

import hashlib
import shutil
import struct
import subprocess

import grpc
import pytest
from certs import Authority
from h2raw import (CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, EXPORT, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, GOAWAY,
                   HEADERS, PING, PROTOCOL_ERROR, PUSH_PROMISE, REFUSED_STREAM, RST_STREAM, SETTINGS, STREAM_CLOSED, WINDOW_UPDATE,
                   COMPRESSION_ERROR, NO_ERROR, Peer, frame, message)
from harness import Collector, IS_SANITIZED
from otlp import request_of, spans_of

pytestmark = pytest.mark.core
GOOD = message(request_of(2).SerializeToString())
HEAD = [(":method", "POST"), (":scheme", "http"), (":path", EXPORT), (":authority", "x"), ("content-type", "application/grpc"), ("te", "trailers")]


@pytest.fixture(scope="module")
def collector(tmp_path_factory):
    sets = {"http.reset_max": "100", "http.streams_max": "20", "http.header_bytes_max": "16KiB", "http.header_timeout": "1s",
            "http.body_timeout": "1s", "ingest.body_bytes_max": "1MiB"}
    with Collector(tmp_path_factory.mktemp("h2") / "data", sets) as it:
        yield it


def assert_goes_on(collector, door="otlp_grpc"):
    request = request_of(3)
    with Peer(collector.doors["otlp_grpc"]) as peer:
        reply = peer.reply(peer.grpc(message(request.SerializeToString())))
        assert reply.grpc()[0] == 0, (reply.headers, reply.trailers, reply.reset, peer.goaway)
    found = collector.trace(next(spans_of(request)).trace_id.hex())
    assert found.status == 200 and len(found.json()["data"][0]["spans"]) == 3


ENDS = [  # name, bytes after preface and SETTINGS, codes of GOAWAY (-1: plain close)
    ("frame above the limit", frame(DATA, 0, 1, bytes(20000)), {FRAME_SIZE_ERROR, PROTOCOL_ERROR}),
    ("data on an idle stream", frame(DATA, 0, 1, b"x"), {PROTOCOL_ERROR, STREAM_CLOSED}),
    ("reset of an idle stream", frame(RST_STREAM, 0, 1, bytes(4)), {PROTOCOL_ERROR}),
    ("settings of 5 bytes", frame(SETTINGS, 0, 0, bytes(5)), {FRAME_SIZE_ERROR}),
    ("settings on a stream", frame(SETTINGS, 0, 1), {PROTOCOL_ERROR}),
    ("settings: window above 2^31", frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 31)), {FLOW_CONTROL_ERROR}),
    ("ping of 7 bytes", frame(PING, 0, 0, bytes(7)), {FRAME_SIZE_ERROR}),
    ("window update of 0", frame(WINDOW_UPDATE, 0, 0, bytes(4)), {PROTOCOL_ERROR, FLOW_CONTROL_ERROR}),
    ("window beyond 2^31", frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff") * 2, {FLOW_CONTROL_ERROR}),
    ("push promise", frame(PUSH_PROMISE, END_HEADERS, 1, bytes(4)), {PROTOCOL_ERROR}),
    ("even stream", frame(HEADERS, END_HEADERS, 2, b"\x82"), {PROTOCOL_ERROR}),
    ("continuation without headers", frame(CONTINUATION, END_HEADERS, 1, b"\x82"), {PROTOCOL_ERROR}),
    ("headers broken by another frame", frame(HEADERS, 0, 1, b"\x82") + frame(PING, 0, 0, bytes(8)), {PROTOCOL_ERROR}),
    ("header block that is none", frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff"), {COMPRESSION_ERROR}),
    ("goaway of 3 bytes", frame(GOAWAY, 0, 0, bytes(3)), {FRAME_SIZE_ERROR}),
]


@pytest.mark.parametrize("name, data, codes", ENDS, ids=[row[0] for row in ENDS])
@pytest.mark.parametrize("door", ["otlp_grpc", "otlp_http", "query_http"])
def test_connection_ends(collector, name, data, codes, door):
    with Peer(collector.doors[door]) as peer:
        peer.send(data)
        assert peer.wait_end() in codes
    assert_goes_on(collector)


def test_no_preface(collector):
    with Peer(collector.doors["otlp_grpc"], preface=b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n") as peer:
        peer.wait_end()
    assert_goes_on(collector)


def test_rapid_reset(collector):
    """More resets than http.reset_max in 10 s: ENHANCE_YOUR_CALM."""
    counted = collector.metric("meshglass_http_refused_total", door="otlp_grpc", reason="flood")
    with Peer(collector.doors["otlp_grpc"]) as peer:
        for _ in range(400):
            if peer.closed:
                break
            stream = peer.headers(HEAD)
            peer.send(frame(RST_STREAM, 0, stream, struct.pack(">I", 8)))
        assert peer.wait_end() == ENHANCE_YOUR_CALM
    assert collector.metric("meshglass_http_refused_total", door="otlp_grpc", reason="flood") == counted + 1
    assert_goes_on(collector)


def test_resets_below_the_limit_are_fine(collector):
    with Peer(collector.doors["otlp_grpc"]) as peer:
        for _ in range(90):
            peer.send(frame(RST_STREAM, 0, peer.headers(HEAD), struct.pack(">I", 8)))
        assert peer.reply(peer.grpc(GOOD)).grpc()[0] == 0


@pytest.mark.parametrize("name, one", [("settings", frame(SETTINGS, 0, 0)), ("ping", frame(PING, 0, 0, bytes(8)))])
def test_floods_do_not_grow_memory(collector, name, one):
    """Answers to a flood are bounded although nobody reads them."""
    before = collector.resident_bytes()
    with Peer(collector.doors["otlp_grpc"]) as peer:
        peer.socket.settimeout(2)
        try:
            for _ in range(200):
                peer.send(one * 1000)
        except TimeoutError:
            pass  # the server has stopped reading: as good as an end
        assert_goes_on(collector)
        if not IS_SANITIZED:
            assert collector.resident_bytes() - before < 32 << 20
    assert_goes_on(collector)


def test_continuation_flood(collector):
    with Peer(collector.doors["otlp_grpc"]) as peer:
        peer.send(frame(HEADERS, 0, 1, b"\x83"))
        block = b"\x00\x01x\x7f\xc0\x3e" + b"y" * 8127  # a literal field
        for _ in range(200):
            if peer.closed:
                break
            peer.send(frame(CONTINUATION, 0, 1, block))
        peer.wait_end()
    assert_goes_on(collector)


def test_header_list_too_large(collector):
    with Peer(collector.doors["otlp_grpc"]) as peer:
        reply = peer.reply(peer.grpc(GOOD, extra=[(f"x-{i}", "y" * 1000) for i in range(14)] + [("z", "y" * 3000)]))
        assert reply.status == 431 or reply.grpc()[0] == 8 or reply.reset is not None or peer.goaway is not None or peer.closed
    assert_goes_on(collector)


def test_streams_above_the_limit_are_refused(collector):
    with Peer(collector.doors["otlp_grpc"]) as peer:
        while peer.acks == 0:  # our settings are acknowledged, so theirs have come too
            assert peer.step()
        held = [peer.headers(HEAD) for _ in range(20)]
        over = peer.headers(HEAD)
        reply = peer.reply(over)
        assert reply.reset == REFUSED_STREAM or peer.goaway in (PROTOCOL_ERROR, REFUSED_STREAM, ENHANCE_YOUR_CALM), vars(reply)
        if peer.goaway is None:
            for stream in held:
                peer.data(stream, message(request_of(1).SerializeToString()))
            assert all(peer.reply(stream).grpc()[0] == 0 for stream in held)
    assert_goes_on(collector)


STREAMS = [
    ("header name in capitals", HEAD + [("X-A", "b")]), ("connection header", HEAD + [("connection", "close")]),
    ("no path", [pair for pair in HEAD if pair[0] != ":path"]), ("pseudo header last", HEAD[1:] + HEAD[:1]),
    ("te that is not trailers", HEAD[:-1] + [("te", "gzip")]), ("two paths", HEAD[:3] + [(":path", "/x")] + HEAD[3:]),
    ("unknown pseudo header", [(":secret", "x")] + HEAD), ("length that is wrong", HEAD + [("content-length", "3")]),
]


@pytest.mark.parametrize("name, pairs", STREAMS, ids=[row[0] for row in STREAMS])
def test_malformed_request_is_refused_alone(collector, name, pairs):
    with Peer(collector.doors["otlp_grpc"]) as peer:
        stream = peer.headers(pairs)
        peer.data(stream, GOOD)
        reply = peer.reply(stream)
        assert reply.reset in (PROTOCOL_ERROR, STREAM_CLOSED) or reply.status == 400, (vars(reply), peer.goaway)
        if peer.goaway is None and not peer.closed:
            assert peer.reply(peer.grpc(GOOD)).grpc()[0] == 0
    assert_goes_on(collector)


def test_window_is_a_limit(collector):
    """A stream that sends more than its window ends with FLOW_CONTROL_ERROR."""
    with Peer(collector.doors["otlp_grpc"]) as peer:
        stream = peer.headers(HEAD)
        peer.socket.settimeout(5)
        try:
            for _ in range(1200):
                if peer.closed:
                    break
                peer.send(frame(DATA, 0, stream, bytes(16384)))
        except TimeoutError:
            pass
        reply = peer.reply(stream)
        answered = reply.grpc()[0] == 8  # the declared message is above the limit: may be said before the window is full
        assert answered or reply.reset is not None or peer.goaway is not None or peer.closed, vars(reply)
    assert_goes_on(collector)


def test_silent_streams_are_cut(collector):
    """A body that never comes does not hold its stream for ever."""
    with Peer(collector.doors["otlp_grpc"]) as peer:
        stream = peer.headers(HEAD)
        reply = peer.reply(stream)
        assert reply.grpc()[0] in (4, 13) or reply.status == 408 or reply.reset is not None or peer.closed, vars(reply)
    assert_goes_on(collector)


def test_peers_that_do_not_read(collector):
    """Big answers to a peer with a closed window stay bounded and harm nobody."""
    big = request_of(3000)
    trace_id = next(spans_of(big)).trace_id.hex()
    assert collector.send(big.SerializeToString()).status == 200
    before = collector.resident_bytes()
    peers = [Peer(collector.doors["query_http"], settings=struct.pack(">HI", 4, 0)) for _ in range(4)]
    try:
        for peer in peers:
            for _ in range(5):
                peer.headers([(":method", "GET"), (":scheme", "http"), (":path", f"/api/traces/{trace_id}"), (":authority", "x")], end=True)
        assert_goes_on(collector)
        if not IS_SANITIZED:
            assert collector.resident_bytes() - before < 256 << 20
    finally:
        for peer in peers:
            peer.socket.close()
    assert_goes_on(collector)


# --- refused while the body is on its way ---

@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guarded")
    cert, key = Authority(folder).issue("server", "DNS:localhost,IP:127.0.0.1")
    token = f"ci ingest sha256:{hashlib.sha256(b'right').hexdigest()}"
    sets = {"auth.tokens": token, "auth.open_doors": "metrics", "tls.cert": cert, "tls.key": key, "tls.doors": "otlp_http"}
    with Collector(folder / "data", sets) as it:
        yield it


WRONG = [("authorization", "Bearer wrong")]
REFUSED = [  # what, path, type, the answer's status and grpc-status
    ("a token that is wrong", EXPORT, "application/grpc", 200, 16), ("a path that is not there", "/no.Service/Call", "application/grpc", 200, 12),
    ("a type that is not read", EXPORT, "text/plain", 415, 3)]


@pytest.mark.parametrize("name, path, kind, status, code", REFUSED, ids=[row[0] for row in REFUSED])
@pytest.mark.parametrize("size, reset", [(300_000, None), (4 << 20, NO_ERROR)])
def test_the_answer_comes_alone(guarded, name, path, kind, status, code, size, reset):
    """No reset beside the answer, which clients take for a failure of the transport: the rest is read, up to a MiB."""
    with Peer(guarded.doors["otlp_grpc"]) as peer:
        pairs = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "x"), ("te", "trailers"), ("content-type", kind)]
        stream = peer.headers(pairs + WRONG)
        reply = peer.reply(stream)
        assert reply.ended and reply.status == status and reply.grpc()[0] == code, vars(reply)
        peer.data(stream, bytes(min(size, 1 << 20) - 1000), end=False)
        other = peer.reply(peer.grpc(GOOD, extra=WRONG))
        assert other.grpc()[0] == 16
        assert reply.reset is None and peer.goaway is None
        peer.data(stream, bytes(size - (1 << 20) if reset is not None else 1000), end=reset is None)
        assert peer.reply(peer.grpc(GOOD, extra=WRONG)).grpc()[0] == 16
        assert reply.reset == reset and peer.goaway is None
    assert guarded.metric("meshglass_http_bodies_bytes") == 0


def test_the_rest_is_not_awaited_for_ever(guarded):
    """Nothing more comes: the stream ends after 5 s, without an error."""
    with Peer(guarded.doors["otlp_grpc"]) as peer:
        reply = peer.reply(peer.headers(HEAD + WRONG))
        while reply.reset is None and peer.step():
            pass
        assert reply.reset == NO_ERROR and reply.grpc()[0] == 16 and peer.goaway is None


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("protocol", ["--http2", "--http1.1"])
@pytest.mark.parametrize("size", [1000, 300_000, 5_000_000])
def test_curl_learns_why(guarded, tmp_path, protocol, size):
    body = tmp_path / "body"
    body.write_bytes(bytes(size))
    command = ["curl", "-sk", protocol, "-H", "Expect:", "-H", "Authorization: Bearer wrong", "-H", "Content-Type: application/x-protobuf",
               "--data-binary", f"@{body}", "-o", tmp_path / "answer", "-w", "%{http_code} %{errormsg}",
               f"https://{guarded.doors['otlp_http']}/v1/traces"]
    seen = {subprocess.run(command, capture_output=True, text=True, timeout=60).stdout.strip() for _ in range(20)}
    assert seen == {"401"}


def test_grpc_learns_why(guarded):
    """grpc's own client, with a message that is larger than what is read of it."""
    with grpc.insecure_channel(guarded.doors["otlp_grpc"]) as channel:
        for size in (300_000, 3_000_000):
            for _ in range(10):
                with pytest.raises(grpc.RpcError) as error:
                    channel.unary_unary(EXPORT)(bytes(size), timeout=30, metadata=[("authorization", "Bearer wrong")])
                assert error.value.code() == grpc.StatusCode.UNAUTHENTICATED, error.value
