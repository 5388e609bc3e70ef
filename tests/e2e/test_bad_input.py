"""Bad input on OTLP/HTTP: each row gets the documented answer, is counted where it belongs, and the next good request
on a new connection succeeds. The rows follow the protocol's table of answers."""

import gzip
import json
import re
import socket
import struct
import threading
import zlib

import pytest
import zstandard
from google.rpc.status_pb2 import Status
from harness import SLOW, assert_balanced, until
from otlp import ExportTraceServiceRequest, ExportTraceServiceResponse, add_span, new_id, request_of, spans_of, to_json

pytestmark = pytest.mark.core
PROTO, JSON = "application/x-protobuf", "application/json"
LIMIT = 1 << 20
GOOD = request_of(2).SerializeToString()
GOOD_JSON = to_json(request_of(2)).encode()


@pytest.fixture(scope="module")
def collector(tmp_path_factory):
    from harness import Collector
    sets = {"ingest.body_bytes_max": "1MiB", "http.header_timeout": "400ms", "http.body_timeout": "400ms", "http.idle_timeout": "30s",
            "http.header_bytes_max": "16KiB"}
    with Collector(tmp_path_factory.mktemp("bad") / "data", sets) as it:
        yield it


def field(number, kind, payload=b""):
    return bytes([number << 3 | kind]) + payload


def nested(depth):
    """Spans whose attribute value is arrays within arrays."""
    value = b""
    for _ in range(depth):
        value = wrap(5, wrap(1, value))  # AnyValue.array_value { values }
    pair = wrap(1, b"k") + wrap(2, value)
    span = wrap(1, b"\1" * 16) + wrap(2, b"\1" * 8) + wrap(9, pair)
    return wrap(1, wrap(2, wrap(2, span)))


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def wrap(number, payload):
    return bytes([number << 3 | 2]) + varint(len(payload)) + payload


def json_of(**span):
    good = {"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "name": "n"}
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [good | span]}]}]}).encode()


def sized(size):
    """A good request of exactly `size` bytes."""
    request = request_of(1)
    span = next(spans_of(request))
    for length in range(size - len(request.SerializeToString()) - 40, size):
        span.trace_state = "x" * length
        if request.ByteSize() == size:
            return request.SerializeToString()
    raise AssertionError("no such size")


def gz(data):
    return gzip.compress(data, 9)


def raw_deflate(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


ZEROS = bytes(100 << 20)
ROWS = [  # name, type, encoding, body, status, outcome
    ("truncated", PROTO, None, GOOD[:-3], 400, "malformed"),
    ("random bytes", PROTO, None, bytes(range(255, 0, -1)), 400, "malformed"),
    ("field number 0", PROTO, None, b"\x02\x00", 400, "malformed"),
    ("wrong wire type", PROTO, None, field(1, 0, b"\x05"), 400, "malformed"),
    ("reserved wire type 6", PROTO, None, field(9, 6, b"\x05"), 400, "malformed"),
    ("stray end group", PROTO, None, field(9, 4), 400, "malformed"),
    ("unclosed group", PROTO, None, field(9, 3), 400, "malformed"),
    ("varint of 11 bytes", PROTO, None, field(9, 0, b"\x80" * 10 + b"\x01"), 400, "malformed"),
    ("length beyond the end", PROTO, None, field(1, 2, b"\xff\xff\xff\xff\x0f"), 400, "malformed"),
    ("length of 2^63", PROTO, None, field(1, 2, b"\xff" * 9 + b"\x01"), 400, "malformed"),
    ("34 KB nested message", PROTO, None, nested(9000), 400, "malformed"),
    ("nesting below the limit", PROTO, None, nested(20), 200, "accepted"),
    ("empty protobuf", PROTO, None, b"", 200, "accepted"),
    ("unknown field", PROTO, None, GOOD + field(15, 2, b"\x03abc"), 200, "accepted"),
    ("empty group", PROTO, None, field(14, 3) + field(14, 4) + GOOD, 400, "malformed"),
    ("JSON empty", JSON, None, b"", 400, "malformed"),
    ("JSON cut", JSON, None, GOOD_JSON[:-2], 400, "malformed"),
    ("JSON text after it", JSON, None, GOOD_JSON + b" {}", 400, "malformed"),
    ("JSON BOM", JSON, None, b"\xef\xbb\xbf" + GOOD_JSON, 400, "malformed"),
    ("JSON an array", JSON, None, b"[]", 400, "malformed"),
    ("JSON 20,000 levels", JSON, None, b'{"x":' + b"[" * 20_000 + b"]" * 20_000 + b"}", 400, "malformed"),
    ("JSON control character", JSON, None, json_of(name="a").replace(b'"a"', b'"a\nb"'), 400, "malformed"),
    ("JSON bad escape", JSON, None, json_of(name="a").replace(b'"a"', b'"\\q"'), 400, "malformed"),
    ("JSON id no hex", JSON, None, json_of(traceId="zz8efff798038103d269b633813fc60c"), 400, "malformed"),
    ("JSON negative unsigned", JSON, None, json_of(startTimeUnixNano="-1"), 400, "malformed"),
    ("JSON time overflows", JSON, None, json_of(startTimeUnixNano="99999999999999999999"), 400, "malformed"),
    ("JSON protobuf inside", JSON, None, GOOD, 400, "malformed"),
    ("JSON unknown keys", JSON, None, b'{"resourceSpans":[],"later":{"a":[1,2]}}', 200, "accepted"),
    ("JSON snake case", JSON, None, b'{"resource_spans":[]}', 200, "accepted"),
    ("JSON with a charset", JSON + "; charset=utf-8", None, GOOD_JSON, 200, "accepted"),
    ("type absent", None, None, GOOD, 415, "media"),
    ("type text", "text/plain", None, GOOD, 415, "media"),
    ("type protobuf without x", "application/protobuf", None, GOOD, 415, "media"),
    ("type list", JSON + ", " + JSON, None, GOOD_JSON, 415, "media"),
    ("type malformed parameter", JSON + ";charset", None, GOOD_JSON, 415, "media"),
    ("type in capitals", "Application/X-Protobuf", None, GOOD, 200, "accepted"),
    ("encoding unknown", PROTO, "br", GOOD, 415, "encoding"),
    ("encoding twice", PROTO, "gzip, gzip", gz(gz(GOOD)), 415, "encoding"),
    ("encoding identity", PROTO, "identity", GOOD, 200, "accepted"),
    ("gzip", PROTO, "gzip", gz(GOOD), 200, "accepted"),
    ("gzip of two members", PROTO, "gzip", gz(GOOD[:20]) + gz(GOOD[20:]), 200, "accepted"),
    ("gzip empty", PROTO, "gzip", b"", 400, "malformed"),
    ("gzip that is none", PROTO, "gzip", GOOD, 400, "malformed"),
    ("gzip cut", PROTO, "gzip", gz(GOOD)[:-5], 400, "malformed"),
    ("gzip wrong checksum", PROTO, "gzip", gz(GOOD)[:-8] + b"abcd" + gz(GOOD)[-4:], 400, "malformed"),
    ("gzip and garbage", PROTO, "gzip", gz(GOOD) + b"garbage!", 400, "malformed"),
    ("gzip bomb", PROTO, "gzip", gz(ZEROS), 413, "too_big"),
    ("gzip bomb that lies about its size", PROTO, "gzip", gz(ZEROS)[:-4] + struct.pack("<I", 100), (400, 413), None),
    ("deflate", PROTO, "deflate", zlib.compress(GOOD), 200, "accepted"),
    ("deflate without its frame", PROTO, "deflate", raw_deflate(GOOD), 400, "malformed"),
    ("deflate bomb", PROTO, "deflate", zlib.compress(ZEROS, 9), 413, "too_big"),
    ("zstd", PROTO, "zstd", zstandard.compress(GOOD), 200, "accepted"),
    ("zstd cut", PROTO, "zstd", zstandard.compress(GOOD)[:-3], 400, "malformed"),
    ("zstd that is none", PROTO, "zstd", GOOD, 400, "malformed"),
    ("zstd bomb", PROTO, "zstd", zstandard.compress(ZEROS), 413, "too_big"),
    ("zstd bomb of unknown size", PROTO, "zstd", zstandard.ZstdCompressor(write_content_size=False).compress(ZEROS), 413, "too_big"),
    ("body below the limit", PROTO, None, sized(LIMIT - 1), 200, "accepted"),
    ("body at the limit", PROTO, None, sized(LIMIT), 200, "accepted"),
    ("body above the limit", PROTO, None, sized(LIMIT + 1), 413, None),
    ("inflated at the limit", PROTO, "gzip", gz(sized(LIMIT)), 200, "accepted"),
    ("inflated above the limit", PROTO, "gzip", gz(sized(LIMIT + 1)), 413, "too_big"),
]


def assert_goes_on(collector):
    request = request_of(3)
    answer = collector.send(request.SerializeToString())
    assert (answer.status, answer.body) == (200, b""), answer
    found = collector.trace(next(spans_of(request)).trace_id.hex())
    assert found.status == 200 and len(found.json()["data"][0]["spans"]) == 3


def assert_status_body(answer, type):
    """Every failure carries google.rpc.Status in the request's encoding, never with a retry hint here."""
    if type and type.lower().startswith(JSON) and "," not in type:
        assert answer.headers["content-type"].startswith(JSON), answer
        status = answer.json()
        assert status["message"] and isinstance(status["code"], int), status
    elif type and type.lower() == PROTO:
        assert answer.headers["content-type"] == PROTO, answer
        status = Status.FromString(answer.body)
        assert status.message and status.code, status
    assert "retry-after" not in answer.headers


@pytest.mark.parametrize("name, type, encoding, body, status, outcome", ROWS, ids=[row[0] for row in ROWS])
def test_row(collector, name, type, encoding, body, status, outcome):
    wanted = status if isinstance(status, tuple) else (status,)
    before = collector.metric("meshglass_ingest_requests_total", door="otlp_http", outcome=outcome) if outcome else 0
    headers = {"Content-Type": type} if type else {}
    if encoding:
        headers["Content-Encoding"] = encoding
    answer = collector.request("otlp_http", "POST", "/v1/traces", body, headers)
    assert answer.status in wanted, answer
    if answer.status == 200:
        assert answer.headers["content-type"].startswith(type.lower().split(";")[0])
    else:
        assert_status_body(answer, type)
    if outcome:
        assert collector.metric("meshglass_ingest_requests_total", door="otlp_http", outcome=outcome) == before + 1
    assert_goes_on(collector)


PATHS = [
    ("GET", "/v1/traces", 405), ("PUT", "/v1/traces", 405), ("DELETE", "/v1/traces", 405), ("OPTIONS", "/v1/traces", 405),
    ("POST", "/v1/traces/", 404), ("POST", "/V1/traces", 404), ("POST", "/", 404), ("POST", "/v1/metrics", 404), ("POST", "/v1/logs", 404),
    ("POST", "/v1development/profiles", 404), ("POST", "/v1/traces/x", 404), ("POST", "/v1", 404), ("POST", "//v1/traces", 404),
    ("POST", "/v1/traces?a=b", 200), ("GET", "/nothing", 404),
]


@pytest.mark.parametrize("method, path, status", PATHS, ids=[f"{m} {p}" for m, p, _ in PATHS])
def test_path_and_method(collector, method, path, status):
    before = collector.metric("meshglass_http_requests_total", door="otlp_http", **{"class": f"{status // 100}xx"})
    answer = collector.request("otlp_http", method, path, GOOD, {"Content-Type": PROTO})
    assert answer.status == status, answer
    if status == 405:
        assert "POST" in answer.headers["allow"]
    if status >= 400:
        assert_status_body(answer, PROTO)
    after = collector.metric("meshglass_http_requests_total", door="otlp_http", **{"class": f"{status // 100}xx"})
    assert after == before + 1
    assert_goes_on(collector)


REFUSALS = [  # what is wrong with one span, the label it is counted under
    ({"trace_id": b""}, "bad_trace_id"), ({"trace_id": b"\1" * 15}, "bad_trace_id"), ({"trace_id": b"\1" * 17}, "bad_trace_id"),
    ({"trace_id": bytes(16)}, "bad_trace_id"), ({"span_id": b""}, "bad_span_id"), ({"span_id": b"\1" * 7}, "bad_span_id"),
    ({"span_id": bytes(8)}, "bad_span_id"), ({"parent_span_id": b"\1" * 4}, "bad_parent_id"),
    ({"attributes": {f"k{i}": i for i in range(4097)}}, "too_many_attributes"),
]


@pytest.mark.parametrize("as_json", [False, True], ids=["protobuf", "json"])
@pytest.mark.parametrize("wrong, reason", REFUSALS, ids=[f"{r} {len(next(iter(w.values())))}" for w, r in REFUSALS])
def test_single_spans_are_refused(collector, wrong, reason, as_json):
    request = request_of(2)
    good = next(spans_of(request))
    add_span(request, **({"trace_id": good.trace_id, "span_id": new_id(8), "name": "bad", "start_time_unix_nano": 1, "end_time_unix_nano": 2} | wrong))
    before = collector.ledger()
    counted = collector.metric("meshglass_spans_refused_total", door="otlp_http", reason=reason)
    answer = collector.send(to_json(request), JSON) if as_json else collector.send(request.SerializeToString())
    assert answer.status == 200, answer
    if as_json:
        partial = answer.json()["partialSuccess"]
        assert partial["rejectedSpans"] == "1" and partial["errorMessage"]
    else:
        partial = ExportTraceServiceResponse.FromString(answer.body).partial_success
        assert partial.rejected_spans == 1 and partial.error_message
    after = collector.ledger()
    assert (after["accepted"], after["refused"]) == (before["accepted"] + 2, before["refused"] + 1)
    assert collector.metric("meshglass_spans_refused_total", door="otlp_http", reason=reason) == counted + 1
    assert len(collector.trace(good.trace_id.hex()).json()["data"][0]["spans"]) == 2
    assert_balanced(after)


# --- what only raw sockets can send ---------------------------------------------------------------------

def head(length=None, **headers):
    lines = ["POST /v1/traces HTTP/1.1", "Host: x", "Content-Type: application/x-protobuf"]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def talk(collector, data, shut=False, door="otlp_http"):
    """Sends and reads to the end of the connection: all bytes that came."""
    host, _, port = collector.doors[door].rpartition(":")
    got = b""
    with socket.create_connection((host, int(port)), 15 * SLOW) as peer:
        try:
            peer.sendall(data)
            if shut:
                peer.shutdown(socket.SHUT_WR)
            while piece := peer.recv(65536):
                got += piece
        except (ConnectionResetError, BrokenPipeError):
            pass
    return got


def statuses(got):
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", got)]


CLOSE = {"Connection": "close"}
ONE_OF = (400, 408)  # at once or when no more comes
RAW = [  # name, bytes, statuses in order, reason counted by http or None, whether our side is shut
    ("garbage", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64) + b"\r\n\r\n", [400], "malformed", False),
    ("garbage without an end", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), ONE_OF, None, False),
    ("no such protocol", b"POST /v1/traces HTTP/7.3\r\n\r\n", [505], "malformed", False),
    ("space in the header name", b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent Type: a\r\n\r\n", [400], "malformed", False),
    ("two lengths", head(5, Content_length=6) + b"abcdef", [400], "malformed", False),
    ("negative length", head(-5), [400], "malformed", False),
    ("length no number", head("ten"), [400], "malformed", False),
    ("chunked and length", head(4, Transfer_Encoding="chunked") + b"0\r\n\r\n", [400], "malformed", False),
    ("bad chunk size", head(Transfer_Encoding="chunked") + b"zz\r\n", [400], "malformed", False),
    ("headers too large", head(0, X="y" * 20_000), [431], "headers", False),
    ("unknown expectation", head(4, Expect="the-unexpected", **CLOSE) + b"abcd", [417], "expectation", False),
    ("declared length above the limit", head(LIMIT + 1, Expect="100-continue"), [413], "body_bytes", False),
    ("chunks above the limit", head(Transfer_Encoding="chunked") + b"10000\r\n" + bytes(65536) + b"\r\n" + (b"10000\r\n" + bytes(65536) + b"\r\n") * 16, [413], "body_bytes", False),
    ("half a request line", b"POST /v1/tra", [408], "slow", False),
    ("half the headers", head(10)[:-2], [408], "slow", False),
    ("half a body", head(len(GOOD)) + GOOD[:10], [408], "slow", False),
    ("half a chunk", head(Transfer_Encoding="chunked") + b"ff\r\nabc", [408], "slow", False),
    ("half a body, then the end", head(len(GOOD)) + GOOD[:10], None, None, True),
    ("half a header, then the end", head(10)[:-9], None, None, True),
    ("nothing, then the end", b"", [], None, True),
    ("two pipelined, then a bad one", head(len(GOOD)) + GOOD + head(len(GOOD)) + GOOD + b"garbage\r\n\r\n", [200, 200, 400], "malformed", False),
    ("a good one, chunked byte by byte", head(Transfer_Encoding="chunked", **CLOSE) + b"".join(b"1\r\n%c\r\n" % b for b in GOOD) + b"0\r\n\r\n", [200], None, False),
    ("a good one with 100-continue", head(len(GOOD), Expect="100-continue", **CLOSE) + GOOD, [100, 200], None, False),
    ("HTTP/1.0", head(len(GOOD)).replace(b"HTTP/1.1", b"HTTP/1.0") + GOOD, [200], None, False),
]


@pytest.mark.parametrize("name, data, wanted, reason, shut", RAW, ids=[row[0] for row in RAW])
def test_raw(collector, name, data, wanted, reason, shut):
    counted = collector.metric("meshglass_http_refused_total", door="otlp_http", reason=reason) if reason else 0
    got = talk(collector, data, shut)
    if wanted is not None:
        seen = statuses(got)
        if wanted is ONE_OF:
            assert len(seen) == 1 and seen[0] in ONE_OF, got[:500]
        else:
            assert seen == wanted or seen == [s for s in wanted if s != 100], got[:500]
    if reason:
        assert collector.metric("meshglass_http_refused_total", door="otlp_http", reason=reason) == counted + 1
    assert_goes_on(collector)


def test_a_steady_slow_sender_is_served(collector):
    """2 KiB every 100 ms is above the rate that body_timeout asks for (1 KiB in 400 ms), however long the body takes."""
    body = sized(24 << 10)
    host, _, port = collector.doors["otlp_http"].rpartition(":")
    with socket.create_connection((host, int(port)), 15 * SLOW) as peer:
        peer.sendall(head(len(body), **CLOSE))
        for i in range(0, len(body), 2048):
            peer.sendall(body[i:i + 2048])
            threading.Event().wait(0.1)
        got = b""
        while piece := peer.recv(65536):
            got += piece
    assert statuses(got) == [200], got


def test_many_half_requests_at_once(collector):
    """A hundred senders stop in the middle; others are served meanwhile, and the hundred are cut."""
    host, _, port = collector.doors["otlp_http"].rpartition(":")
    peers = [socket.create_connection((host, int(port)), 15 * SLOW) for _ in range(100)]
    for i, peer in enumerate(peers):
        peer.sendall((head(len(GOOD)) + GOOD)[:i + 1])
    assert_goes_on(collector)
    for peer in peers:
        while peer.recv(65536):
            pass
        peer.close()
    until(lambda: collector.metric("meshglass_http_connections", door="otlp_http") == 0, 10, "no connection left")
    assert_goes_on(collector)


def test_bad_utf8_is_stored_as_received_and_shown_clean(collector):
    request = request_of(1, name="NAME")
    trace_id = next(spans_of(request)).trace_id.hex()
    counted = collector.metric("meshglass_bad_utf8_strings_total")
    assert collector.send(request.SerializeToString().replace(b"NAME", b"\xff\xfeAM")).status == 200
    assert collector.metric("meshglass_bad_utf8_strings_total") > counted
    span = collector.trace(trace_id).json()["data"][0]["spans"][0]
    assert "\ufffd" in span["operationName"] or "AM" in span["operationName"]
