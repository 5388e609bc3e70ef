"""The Jaeger HTTP API against the running program: one small known world, then rows of request and answer. Every row is
asked twice: while the spans are in memory and when they are in the store."""

import re
import time
import urllib.parse

import pytest
from harness import Collector
from otlp import ExportTraceServiceRequest, add_span, new_id, set_attributes

pytestmark = pytest.mark.core
NOW = time.time_ns() // 10**9 * 10**9 - 60 * 10**9
MS = 10**6
IDS = {name: bytes(8 if name == "short" else 0) + new_id(8 if name == "short" else 16) for name in ("shop", "slow", "old", "short", "bad")}


def world():
    request = ExportTraceServiceRequest()

    def span(trace, service, name, at, duration, parent=b"", span_id=None, **more):
        made = add_span(request, service, scope="lib", resource={"host.name": "h1"}, trace_id=IDS[trace], span_id=span_id or new_id(8),
                        parent_span_id=parent, name=name, start_time_unix_nano=at, end_time_unix_nano=at + duration, **more)
        return made

    root = span("shop", "front/end", "GET /cart", NOW, 50 * MS, kind=2, attributes={"http.status_code": 200, "user": "ann", "vip": True, "share": 0.5})
    child = span("shop", "cart", "load", NOW + MS, 20 * MS, root.span_id, kind=2, attributes={"list": ["x", "y"]})
    child.status.code, child.status.message = 2, "boom"
    event = child.events.add()
    event.name, event.time_unix_nano = "retry", NOW + 2 * MS
    set_attributes({"attempt": 2}, event.attributes)
    slow = span("slow", "cart", "load", NOW + 10**9, 3 * 10**9, kind=3)
    link = slow.links.add()
    link.trace_id, link.span_id = IDS["shop"], root.span_id
    span("old", "cart", "load", NOW - 3 * 86400 * 10**9, 5 * MS, kind=2)
    span("short", "cart", "store", NOW + 2 * 10**9, 900, kind=0)
    span("bad", "front/end", "backwards", NOW + 3 * 10**9, -5 * MS, kind=1)
    return request


@pytest.fixture(scope="module", params=["live", "store"])
def collector(request, tmp_path_factory):
    where = {"live": {"store.block_age": "5m", "sampling.root_grace": "1h", "sampling.decision_wait": "1h"}, "store": {}}[request.param]
    with Collector(tmp_path_factory.mktemp("api") / "data", where) as it:
        assert it.send(world().SerializeToString()).status == 200
        if request.param == "store":
            it.settle()
        yield it


def hexed(name):
    return IDS[name].hex().removeprefix("0" * 16)


def us(ns):
    return str(ns // 1000)


RECENT = ["bad", "short", "slow", "shop"]
SEARCHES = [  # parameters, traces found, newest first
    ({}, RECENT), ({"service": ""}, RECENT), ({"service": "cart"}, ["short", "slow", "shop"]), ({"service": "front/end"}, ["bad", "shop"]),
    ({"service": "nobody"}, []), ({"service": "cart", "operation": "load"}, ["slow", "shop"]), ({"service": "cart", "operation": "LOAD"}, []),
    ({"service": "front/end", "operation": "load"}, []), ({"limit": "2"}, ["bad", "short"]), ({"service": "cart", "limit": "1"}, ["short"]),
    ({"start": us(NOW - 4 * 86400 * 10**9)}, RECENT + ["old"]), ({"start": us(NOW), "end": us(NOW)}, ["shop"]),
    ({"start": us(NOW + 10**9), "end": us(NOW + 2 * 10**9)}, ["short", "slow"]), ({"start": us(NOW + 10**9 + 1000), "end": us(NOW + 2 * 10**9 - 1000)}, []),
    ({"minDuration": "1s"}, ["slow"]), ({"minDuration": "3s"}, ["slow"]), ({"minDuration": "3.001s"}, []), ({"maxDuration": "1us"}, ["bad", "short"]),
    ({"minDuration": "20ms", "maxDuration": "50ms"}, ["shop"]), ({"minDuration": "21ms", "maxDuration": "49ms"}, []), ({"minDuration": "0h0m2.5s"}, ["slow"]),
    ({"tag": "user:ann"}, ["shop"]), ({"tag": ["user:ann", "vip:true"]}, ["shop"]), ({"tag": ["user:ann", "list:x"]}, []), ({"tag": "user:bob"}, []),
    ({"tags": '{"http.status_code":"200","share":"0.5"}'}, ["shop"]), ({"tags": '{"error":"true"}'}, ["shop"]), ({"tag": "list:[\"x\",\"y\"]"}, ["shop"]),
    ({"tags": '{"span.kind":"client"}'}, ["slow"]), ({"tags": '{"otel.status_code":"ERROR"}'}, ["shop"]), ({"tag": "attempt:2"}, ["shop"]),
    ({"tag": "host.name:h1"}, RECENT), ({"tag": "otel.scope.name:lib"}, RECENT), ({"service": "cart", "tag": "error:false"}, ["short", "slow"]),
    ({"service": "cart", "lookback": "1h"}, ["short", "slow", "shop"]),
    ({"where": "http.status_code>=200"}, ["shop"]), ({"where": "http.status_code > 199.5"}, ["shop"]), ({"where": "http.status_code>200"}, []),
    ({"where": "http.status_code<=200"}, ["shop"]), ({"where": "http.status_code<200"}, []), ({"where": "http.status_code = 2e2"}, ["shop"]),
    ({"where": "http.status_code=201"}, []), ({"where": ["http.status_code>100", "http.status_code<300"]}, ["shop"]),
    ({"where": ["http.status_code>100", "http.status_code<150"]}, []), ({"where": "share<=0.5"}, ["shop"]), ({"where": "share<0.5"}, []), ({"where": "share>-1"}, ["shop"]),
    ({"where": "user>0"}, []), ({"where": "vip>=0"}, []), ({"where": "list>0"}, []), ({"where": "nothing<1"}, []),  # not numbers
    ({"where": "user exists"}, ["shop"]), ({"where": " vip  exists "}, ["shop"]), ({"where": "list exists"}, ["shop"]), ({"where": "nothing exists"}, []),
    ({"where": "USER exists"}, []), ({"where": "host.name exists"}, RECENT), ({"where": "host.name exists", "limit": "1"}, ["bad"]),
    ({"where": "user exists", "service": "front/end", "tag": "vip:true"}, ["shop"]), ({"where": "user exists", "service": "cart"}, []),
    ({"where": "user exists", "tag": "user:bob"}, []), ({"where": "user exists", "minDuration": "1s"}, []),
]


def name_of(query):
    """Times are told as distances, so that every collection of the tests finds the same names."""
    return re.sub(r"\d{16}", lambda time: f"NOW{int(time[0]) - NOW // 1000:+}", urllib.parse.urlencode(query, doseq=True))[:70]


@pytest.mark.parametrize("query, found", SEARCHES, ids=[name_of(query) for query, _ in SEARCHES])
def test_search(collector, query, found):
    got = [trace["traceID"] for trace in collector.search(**query)]
    assert got == [hexed(name) for name in found]


def wrong(message):
    return {"data": None, "total": 0, "limit": 0, "offset": 0, "errors": [{"code": 400, "msg": message}]}


REFUSED = [  # path, status, msg or None for any
    ("/api/traces?start=x", 400, "unable to parse param 'start': "), ("/api/traces?end=1.5", 400, "unable to parse param 'end': "),
    ("/api/traces?minDuration=1", 400, "unable to parse param 'minDuration': "), ("/api/traces?maxDuration=1x", 400, "unable to parse param 'maxDuration': "),
    ("/api/traces?minDuration=2s&maxDuration=1s", 400, "'maxDuration' should be greater than 'minDuration'"),
    ("/api/traces?tag=x", 400, "malformed 'tag' parameter, expecting key:value, received: x"),
    ("/api/traces?tags=%5B1%5D", 400, "malformed 'tags' parameter, cannot unmarshal JSON: "), ("/api/traces?tags=x", 400, "malformed 'tags' parameter, cannot unmarshal JSON: "),
    ("/api/traces?where=user", 400, "malformed 'where' condition 'user': "), ("/api/traces?where=", 400, "malformed 'where' condition '': "),
    ("/api/traces?where=a%3E", 400, "malformed 'where' condition 'a>': "), ("/api/traces?where=%3E5", 400, "malformed 'where' condition '>5': the key is missing"),
    ("/api/traces?where=a%3E%3Dx", 400, "malformed 'where' condition 'a>=x': "), ("/api/traces?where=a%3D%3D5", 400, "malformed 'where' condition 'a==5': "),
    ("/api/traces?where=+exists", 400, "malformed 'where' condition"), ("/api/traces?where=a%3Enan", 400, "malformed 'where' condition 'a>nan': "),
    ("/api/traces?where=a+exists&where=b", 400, "malformed 'where' condition 'b': "), ("/api/traces?service=cart&where=a%3E0x10", 400, "malformed 'where' condition 'a>0x10': "),
    ("/api/traces?limit=x", 400, 'strconv.ParseInt: parsing "x": invalid syntax'), ("/api/traces?limit=0", 500, "search depth must be greater than 0"),
    ("/api/traces?limit=-1", 500, "search depth must be greater than 0"), ("/api/traces?raw=perhaps", 400, "unable to parse param 'raw': "),
    ("/api/traces?traceID=xyz", 400, "cannot parse traceID param: "), ("/api/traces/xyz", 400, 'strconv.ParseUint: parsing "xyz": invalid syntax'),
    ("/api/traces/" + "a" * 33, 400, "TraceID cannot be longer than 32 hex characters: " + "a" * 33),
    ("/api/traces/" + "0" * 32, 404, "trace not found"), ("/api/traces/abc", 404, "trace not found"), ("/api/operations", 400, "parameter 'service' is required"),
]


@pytest.mark.parametrize("path, status, message", REFUSED, ids=[row[0][:60] for row in REFUSED])
def test_refusal(collector, path, status, message):
    answer = collector.get(path)
    assert answer.status == status, answer
    body = answer.json()
    assert body["data"] is None and body["total"] == body["limit"] == body["offset"] == 0
    assert body["errors"][0]["code"] == status and body["errors"][0]["msg"].startswith(message), body


@pytest.mark.parametrize("method, path, status", [
    ("GET", "/api/nothing", 404), ("GET", "/api/traces/", 404), ("POST", "/api/traces", 405), ("DELETE", "/api/services", 405),
    ("HEAD", "/api/services", 200), ("GET", "/", 302),
])
def test_other_routes(collector, method, path, status):
    answer = collector.request("query_http", method, path)
    assert answer.status == status or (status == 405 and answer.status == 404), answer
    if status == 302:
        assert answer.headers["location"].endswith("/console/")


def test_services_and_operations(collector):
    assert collector.get("/api/services").json() == {"data": ["cart", "front/end"], "total": 2, "limit": 0, "offset": 0, "errors": None}
    assert collector.get("/api/services/front%2Fend/operations").json()["data"] == ["GET /cart", "backwards"]
    assert collector.get("/api/services/nobody/operations").json()["data"] is None
    assert collector.get("/api/operations", service="nobody").json()["data"] == []
    pairs = {(one["name"], one["spanKind"]) for one in collector.get("/api/operations", service="cart").json()["data"]}
    assert {("load", "server"), ("load", "client")} <= pairs and ("store", "server") not in pairs
    assert collector.get("/api/operations", service="cart", spanKind="client").json()["data"] == [{"name": "load", "spanKind": "client"}]


@pytest.mark.parametrize("form", [str.lower, str.upper, lambda text: text.lstrip("0"), lambda text: text.rjust(32, "0")], ids=["lower", "upper", "short", "padded"])
@pytest.mark.parametrize("name", ["shop", "short"])
def test_id_forms(collector, name, form):
    answer = collector.trace(form(hexed(name)))
    assert answer.status == 200 and answer.json()["data"][0]["traceID"] == hexed(name), answer


def test_several_ids(collector):
    body = collector.get("/api/traces", traceID=[hexed("shop"), "abc", hexed("short")], service="ignored").json()
    assert {trace["traceID"] for trace in body["data"]} == {hexed("shop"), hexed("short")}
    assert body["errors"] == [{"msg": "trace not found", "traceID": "0000000000000abc"}] or body["errors"][0]["traceID"].lstrip("0") == "abc"


def test_shape_of_a_trace(collector):
    answer = collector.trace(hexed("shop"))
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert list(body) == ["data", "total", "limit", "offset", "errors"] or set(body) == {"data", "total", "limit", "offset", "errors"}
    (trace,) = body["data"]
    assert set(trace) == {"traceID", "spans", "processes", "warnings"}
    child = next(span for span in trace["spans"] if span["operationName"] == "load")
    root = next(span for span in trace["spans"] if span["operationName"] == "GET /cart")
    assert child["references"] == [{"refType": "CHILD_OF", "traceID": hexed("shop"), "spanID": root["spanID"]}]
    tags = {tag["key"]: (tag["type"], tag["value"]) for tag in child["tags"]}
    assert tags["error"] == ("bool", True) and tags["otel.status_code"] == ("string", "ERROR") and tags["otel.status_description"] == ("string", "boom")
    assert tags["span.kind"] == ("string", "server") and tags["list"] == ("string", '["x","y"]') and tags["otel.scope.name"] == ("string", "lib")
    (log,) = child["logs"]
    assert log["timestamp"] == (NOW + 2 * MS) // 1000
    assert log["fields"] == [{"key": "event", "type": "string", "value": "retry"}, {"key": "attempt", "type": "int64", "value": 2}]
    process = [(tag["key"], tag["type"], tag["value"]) for tag in trace["processes"][child["processID"]]["tags"]]
    decided = [("meshglass.sampling.probability", "float64", 1), ("meshglass.sampling.reason", "string", "no_rules"), ("meshglass.sampling.rules", "int64", 1)]
    assert process in ([("host.name", "string", "h1")], [("host.name", "string", "h1")] + decided)  # undecided, or kept
    root_tags = {tag["key"]: (tag["type"], tag["value"]) for tag in root["tags"]}
    assert root_tags["http.status_code"] == ("int64", 200) and root_tags["vip"] == ("bool", True) and root_tags["share"] == ("float64", 0.5)


def test_links_times_and_odd_durations(collector):
    slow = collector.trace(hexed("slow")).json()["data"][0]["spans"][0]
    assert [(r["refType"], r["traceID"]) for r in slow["references"]] == [("FOLLOWS_FROM", hexed("shop"))]
    short = collector.trace(hexed("short")).json()["data"][0]["spans"][0]
    assert short["duration"] == 0 and not any(tag["key"] == "span.kind" for tag in short["tags"])
    assert short["startTime"] == (NOW + 2 * 10**9) // 1000
    backwards = collector.trace(hexed("bad")).json()["data"][0]["spans"][0]
    assert backwards["warnings"], "end before start is shown with a warning"
    assert not collector.trace(hexed("bad"), raw="true").json()["data"][0]["spans"][0]["warnings"]


@pytest.mark.parametrize("value, is_pretty", [("true", True), ("1", True), ("x", True), ("false", False), ("", False)])
def test_pretty_print(collector, value, is_pretty):
    body = collector.get("/api/traces/" + hexed("shop"), prettyPrint=value).body
    assert (b"\n    " in body) == is_pretty
