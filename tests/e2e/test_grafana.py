"""Grafana's data sources of type jaeger and zipkin: the requests that their backends sent to these doors (grafana-jaeger-datasource 13.0.1 with and
without the feature toggle jaegerEnableGrpcEndpoint, grafana-zipkin-datasource 12.4.5; captured between them and a collector), and answers that fit the
Go types into which they read. What does not fit there is, for a user, an error in place of the trace."""

import gzip
import ipaddress
import json
import re
import time

import pytest
from harness import Collector
from otlp import ExportTraceServiceRequest, add_span, new_id

HEADERS = {"User-Agent": "Go-http-client/1.1", "Accept-Encoding": "gzip"}
NOW = time.time_ns() // 10**9 * 10**9 - 60 * 10**9
MS, US = NOW // 10**6, NOW // 1000
SHOP, JOINED, TYPED = (new_id(16).hex() for _ in range(3))


def otlp(trace_id, **more):
    request = ExportTraceServiceRequest()
    root = add_span(request, "shop", scope="lib", trace_id=bytes.fromhex(trace_id), span_id=new_id(8), name="GET /cart", kind=2,
                    start_time_unix_nano=NOW, end_time_unix_nano=NOW + 50 * 10**6, **more)
    child = add_span(request, "cart", scope="lib", trace_id=bytes.fromhex(trace_id), span_id=new_id(8), parent_span_id=root.span_id, name="load", kind=2,
                     start_time_unix_nano=NOW + 10**6, end_time_unix_nano=NOW + 2 * 10**7)
    child.status.code, child.status.message = 2, "boom"
    child.events.add(name="retry", time_unix_nano=NOW + 2 * 10**6)
    child.links.add(trace_id=new_id(16), span_id=new_id(8))
    return request.SerializeToString()


def joined():
    """As Brave and Envoy do by default: client and server have one id; and one for debugging, as OpenTelemetry's exporter for Python marks each."""
    client = {"traceId": JOINED, "id": "a1", "name": "get", "kind": "CLIENT", "timestamp": US, "duration": 900, "localEndpoint": {"serviceName": "web"}}
    server = client | {"kind": "SERVER", "shared": True, "localEndpoint": {"serviceName": "api", "ipv4": "10.0.0.1", "port": 80}}
    late = {"traceId": JOINED, "id": "a2", "parentId": "a1", "name": "late", "debug": True, "localEndpoint": {"serviceName": "api"}}
    return json.dumps([client, server, late])


@pytest.fixture(scope="module")
def collector(tmp_path_factory):
    with Collector(tmp_path_factory.mktemp("grafana") / "data") as it:
        assert it.send(otlp(SHOP, attributes={"http.status_code": 200, "user": "ann"})).status == 200
        assert it.send(otlp(TYPED, attributes={"share": 0.5, "vip": True})).status == 200
        assert it.request("zipkin", "POST", "/api/v2/spans", joined(), {"Content-Type": "application/json"}).status == 202
        it.settle()
        assert it.ledger()["stored"] == 7, "kept by decisions: those add to a trace what it tells of them"
        yield it


# --- as encoding/json reads: unknown members are skipped, null and absent ones are the zero value ------------------


def fits(value, shape, where="answer"):
    if value is None or shape is object:
        return
    if isinstance(shape, list):
        assert isinstance(value, list), where
        for i, item in enumerate(value):
            fits(item, shape[0], f"{where}[{i}]")
    elif isinstance(shape, dict):
        assert isinstance(value, dict), where
        for key, item in value.items():
            if key in shape or "*" in shape:
                fits(item, shape.get(key, shape.get("*")), f"{where}.{key}")
    elif callable(shape) and not isinstance(shape, type):
        assert shape(value), f"{where}: {value!r}"
    else:
        kind = (int, float) if shape is float else shape
        assert isinstance(value, kind) and (shape is bool or not isinstance(value, bool)), f"{where}: {value!r} for {shape.__name__}"


NAMES = {"data": [str], "limit": int, "offset": int, "total": int}
TAGS = [{"key": str, "type": str, "value": object}]
TRACES = NAMES | {"data": [{
    "traceID": str, "warnings": [str], "processes": {"*": {"serviceName": str, "tags": TAGS}},
    "spans": [{"traceID": str, "spanID": str, "processID": str, "operationName": str, "startTime": int, "duration": int, "flags": int, "tags": TAGS,
               "logs": [{"timestamp": float, "fields": TAGS, "name": str}], "references": [{"refType": str, "spanID": str, "traceID": str}],
               "warnings": [str], "stackTraces": [str]}]}]}
DEPENDENCIES = {"data": [{"parent": str, "child": str, "callCount": int}], "errors": [{"code": int, "msg": str}]}
# Grafana reads bools and doubles as text, which OTLP/JSON does not have and Jaeger does not send: those traces it cannot read from either.
ATTRIBUTES = [{"key": str, "value": {"stringValue": str, "boolValue": bool, "intValue": str, "doubleValue": float, "bytesValue": str}}]
V3_SPAN = {"traceId": str, "spanId": str, "traceState": str, "parentSpanId": str, "flags": int, "name": str, "kind": int, "startTimeUnixNano": str,
           "endTimeUnixNano": str, "attributes": ATTRIBUTES, "events": [{"timeUnixNano": str, "name": str, "attributes": ATTRIBUTES}],
           "links": [{"traceId": str, "spanId": str, "traceState": str, "attributes": ATTRIBUTES, "flags": int}], "status": {"message": str, "code": int}}
V3_TRACES = {"result": {"resourceSpans": [{"resource": {"attributes": ATTRIBUTES}, "schemaUrl": str, "scopeSpans": [
    {"scope": {"name": str, "version": str, "attributes": ATTRIBUTES}, "spans": [V3_SPAN], "schemaUrl": str}]}]}}
ENDPOINT = {"serviceName": str, "ipv4": ipaddress.ip_address, "ipv6": ipaddress.ip_address, "port": lambda port: 0 < port < 65536}
ZIPKIN_TRACE = [{"traceId": lambda text: int(text, 16) < 1 << 128, "id": lambda text: 0 < int(text, 16) < 1 << 64, "parentId": lambda text: int(text, 16) < 1 << 64,
                 "debug": bool, "shared": bool, "name": str, "kind": str, "timestamp": lambda us: us > 10**6, "duration": lambda us: us > 0,
                 "localEndpoint": ENDPOINT, "remoteEndpoint": ENDPOINT, "tags": {"*": str},
                 "annotations": [{"timestamp": lambda us: us >= 1, "value": str}]}]


# --- the requests -------------------------------------------------------------------------------------------


def ask(collector, door, path):
    answer = collector.request(door, "GET", path, headers=HEADERS)
    body = gzip.decompress(answer.body) if answer.headers.get("content-encoding") == "gzip" else answer.body
    return answer.status, json.loads(body) if answer.status == 200 else body.decode()


def of(trace_id, n):
    """The one trace, with so many spans."""
    def check(body):
        spans = body["data"][0]["spans"] if "data" in body else [
            span for group in body["result"]["resourceSpans"] for scope in group["scopeSpans"] for span in scope["spans"]]
        return len(spans) == n and {span.get("traceID") or span.get("traceId") for span in spans} == {trace_id}
    return check


def found(*trace_ids):
    return lambda body: {trace["traceID"] for trace in body["data"]} == set(trace_ids)


WINDOW = f"end={US + 3600 * 10**6}", f"start={US - 3600 * 10**6}"
SEARCH = WINDOW[0] + "&{}" + WINDOW[1]
JAEGER = [  # path, the type it is read into, what is in it
    ("/api/services", NAMES, lambda body: body["data"] == ["api", "cart", "shop", "web"]),
    ("/api/services/shop/operations", NAMES, lambda body: body["data"] == ["GET /cart"]),
    ("/api/services/nobody/operations", NAMES, lambda body: body["data"] is None),
    ("/api/traces?" + SEARCH.format("service=shop&"), TRACES, found(SHOP, TYPED)),
    ("/api/traces?" + SEARCH.format("service=shop&") + "&tags=%7B%22http.status_code%22%3A%22200%22%2C%22user%22%3A%22ann%22%7D", TRACES, found(SHOP)),
    ("/api/traces?" + SEARCH.format("service=shop&") + "&tags=%7B%22share%22%3A%220.5%22%2C%22vip%22%3A%22true%22%7D", TRACES, found(TYPED)),
    ("/api/traces?" + SEARCH.format("limit=1&maxDuration=1s&minDuration=10ms&operation=GET+%2Fcart&service=shop&"), TRACES, lambda body: len(body["data"]) == 1),
    ("/api/traces?" + SEARCH.format("service=nobody&"), TRACES, found()),
    ("/api/traces?" + SEARCH.format("minDuration=1s&service=shop&"), TRACES, found()),
    (f"/api/traces/{SHOP}", TRACES, of(SHOP, 2)), (f"/api/traces/{JOINED}", TRACES, of(JOINED, 3)),
    # the setting "Query Trace by ID with Time Params": milliseconds, where Jaeger has microseconds
    (f"/api/traces/{SHOP}?end={MS + 3_600_000}&start={MS - 3_600_000}", TRACES, of(SHOP, 2)),
    # the browser itself, up to version 11.4
    (f"/api/traces/{SHOP}?{WINDOW[1]}&{WINDOW[0]}", TRACES, of(SHOP, 2)),
    (f"/api/traces?service=shop&limit=20&{WINDOW[1]}&{WINDOW[0]}&lookback=custom", TRACES, found(SHOP, TYPED)),
    (f"/api/dependencies?endTs={MS + 3_600_000}&lookback=7200000", DEPENDENCIES,
     lambda body: {"parent": "shop", "child": "cart", "callCount": 2} in body["data"]),
    # with the toggle
    ("/api/v3/services", {"services": [str]}, lambda body: body["services"] == ["api", "cart", "shop", "web"]),
    ("/api/v3/operations?service=shop", {"operations": [{"name": str, "spanKind": str}]}, lambda body: body["operations"][0]["name"] == "GET /cart"),
    (f"/api/v3/traces/{SHOP}", V3_TRACES, of(SHOP, 2)), (f"/api/v3/traces/{JOINED}", V3_TRACES, of(JOINED, 3)),
    (f"/api/v3/traces/{SHOP}?start_time=2026-11-26T17:23:32.942390165+02:00&end_time=2026-11-26T19:23:32.942391859+02:00", V3_TRACES, of(SHOP, 2)),
]
ZIPKIN = [
    ("/api/v2/services", [str], lambda body: body == ["api", "cart", "shop", "web"]),
    ("/api/v2/spans?serviceName=shop", [str], lambda body: body == ["get /cart"]),
    ("/api/v2/spans?serviceName=nobody", [str], lambda body: body == []),
    ("/api/v2/traces?serviceName=shop&spanName=get+%2Fcart", [ZIPKIN_TRACE], lambda body: {trace[0]["traceId"] for trace in body} == {SHOP, TYPED}),
    ("/api/v2/traces?serviceName=shop&spanName=nothing", [ZIPKIN_TRACE], lambda body: body == []),
    (f"/api/v2/trace/{SHOP}", ZIPKIN_TRACE, lambda body: len(body) == 2),
    (f"/api/v2/trace/{JOINED}", ZIPKIN_TRACE, lambda body: [span.get("shared", False) for span in body].count(True) == 1),
]


def lasting(value):
    """The name of a test, without ids and times of this run."""
    return re.sub(f"{SHOP}|{JOINED}|[0-9]{{9,}}", "X", value) if isinstance(value, str) else ""


@pytest.mark.parametrize("door, path, shape, check", [*(("query_http", *row) for row in JAEGER), *(("zipkin", *row) for row in ZIPKIN)],
                         ids=lasting)
def test_requests_of_the_sources(collector, door, path, shape, check):
    status, body = ask(collector, door, path)
    assert status == 200, body
    fits(body, shape)
    assert check(body), body


FAILED = [  # the user reads "request failed: " and this
    ("query_http", "/api/traces/abc", "404 Not Found"), ("query_http", "/api/traces/xyz", "400 Bad Request"),
    ("query_http", "/api/traces?" + SEARCH.format("minDuration=x&service=shop&"), "400 Bad Request"),
    ("query_http", "/api/traces?" + SEARCH.format("limit=100000&service=shop&"), "400 Bad Request"),
    ("query_http", "/api/v3/traces/abc", "404 Not Found"), ("query_http", "/api/v3/traces/xyz", "400 Bad Request"),
    ("zipkin", "/api/v2/trace/abc", "404 Not Found"), ("zipkin", "/api/v2/trace/5e01%3Fx%3D1", "400 Bad Request"),
    ("otlp_http", "/api/services", "404 Not Found"),
]


@pytest.mark.parametrize("door, path, status", FAILED, ids=lasting)
def test_failures_have_a_status_that_is_shown(collector, door, path, status):
    with collector.connect(door) as connection:
        connection.http.request("GET", path, headers=HEADERS)
        answer = connection.http.getresponse()
        assert f"{answer.status} {answer.reason}" == status
        assert b"<" not in answer.read(1)
