"""Jaeger itself beside the collector: it reads what the collector wrote into Elasticsearch (here OpenSearch), has what the collector exported to it,
and answers what the collector answers when both were sent the same. What differs is in tables with the reason, as in conversions.py."""

import datetime
import json
import re

import grpc
import pytest
from conversions import CLIENT, DOOR, SHOWN, SHOWN_BY_ZIPKIN, SomeText, each_value, nested_as_json, no_schema, retime, state_as_tag, through
from google.protobuf import json_format
from grpc_client import Services, failure
from harness import Collector, Connection, until, with_query
from otlp import ExportTraceServiceRequest, add_span, from_json, request_of, set_attributes, spans_of
from peers import Jaeger, OpenSearch, jaeger_binary, jars
from same_trace import CLIENTS, as_zipkin, assert_equal, by_id, from_otlp, from_v2_grpc, from_v2_json, read, same_trace, send, shown, wanted
from test_exporters import sent, towards
from test_jaeger_api import IDS, NOW, SEARCHES, hexed, world
from test_peers import AT_THE_COLLECTOR, ATTRIBUTES, ask, newer_names

QUERIES = ("v2 JSON", "v3 JSON", "v2 gRPC", "v3 gRPC")


@pytest.fixture(scope="module")
def binary(is_long):
    if not is_long:
        pytest.skip("building Jaeger takes minutes: in `tests/run all`")
    return jaeger_binary()


@pytest.fixture
def jaeger(tmp_path, binary):
    with Jaeger(tmp_path / "jaeger", binary) as it:
        yield it


@pytest.fixture
def alike(make):
    """Makes a collector, and a reader of it and of a Jaeger: Jaeger does not describe its services, ours are the same."""
    def start(sets=None):
        near = make(sets, name="near")
        services = Services(near.doors["query_grpc"])
        opened.append(services)
        return near, services
    opened = []
    yield start
    for services in opened:
        services.channel.close()


def post(server, request):
    with Connection(server.doors["otlp_http"]) as connection:
        answer = connection.request("POST", "/v1/traces", request.SerializeToString(), {"Content-Type": "application/x-protobuf"})
    assert answer.status == 200, answer


# --- what Jaeger reads in Elasticsearch ------------------------------------------------------------------


@pytest.fixture(scope="module")
def opensearch(binary):
    with OpenSearch(jars("OpenSearch")) as it:
        yield it


def odd_trace():
    """What same_trace has not: every end of every type, nested values everywhere, keys and names of all sorts, and attributes that are called like
    what is derived. One span for each thing that a reader may take amiss."""
    trace_id, root = bytes(8) + b"\0oddodd1", b"\0\0\0\0\0\0\0\1"
    request = ExportTraceServiceRequest()

    def span(name, number, **more):
        start = NOW + number * 1_000_999
        end = start + more.pop("duration", 1_234_567)
        return add_span(request, more.pop("service", "odd ☃/1.*"), scope="lib", trace_id=trace_id, span_id=bytes(7) + bytes([number]), name=name,
                        parent_span_id=more.pop("parent", root), start_time_unix_nano=start, end_time_unix_nano=end,
                        resource={"n": 2**62, "f": 1e300, "deep": {"a": [1, {"b": b"x"}]}, "bytes": b"\0\xff", "none": None}, **more)
    first = span("values", 1, parent=b"", kind=2, duration=3 * 86400 * 10**9, attributes={  # around all others, or Jaeger would warn of clocks
        "i": 1, "most": 2**63 - 1, "least": -2**63, "exact": 2**53, "d": 0.1, "whole": 3.0, "tiny": 5e-324, "nan": float("nan"), "inf": float("inf"),
        "minus": float("-inf"), "yes": True, "no": False, "text": "käse ☃ 😀 \" \\ \n\t\u2028", "bytes": bytes(range(256)), "none": None,
        "map": {"a": 1, "b": [True, None, "x", b"\1", 1.5]}, "list": [], "empty": {}, "": "empty key", "dots.in.key": "x", "at@key": "y",
        "long": "x" * 300, "longer": "y" * 40_000, "k" * 300: "long key"})
    for name, at, attributes in (("nested", 1001, {"a": {"b": [1, 2]}, "n": 2**60, "b": b"\1\2", "": "e"}), ("named", 2002, {"event": "other"}),
                                 ("", 3003, {"x": 1}), ("bare", 4004, {}), ("zero", -NOW - 1_000_999, {})):
        event = first.events.add(name=name, time_unix_nano=first.start_time_unix_nano + at)
        set_attributes(attributes, event.attributes)
    linked = span("links", 2, kind=4)
    for to, attributes in ((b"a" * 16, {"x": 1}), (b"b" * 16, {"opentracing.ref_type": "child_of"}), (bytes(8) + b"short id", {}), (trace_id, {})):
        link = linked.links.add(trace_id=to, span_id=bytes(7) + b"\3")
        set_attributes(attributes, link.attributes)
    for number, (code, message) in enumerate([(0, ""), (0, "without a code"), (1, ""), (1, "fine"), (2, ""), (2, "boom")], 3):
        made = span(f"status {code} {message}", number, kind=3)
        made.status.code, made.status.message = code, message
    span("no time at all", 9, duration=0)
    span("two days", 10, duration=2 * 86400 * 10**9)
    span("error as attribute", 11, kind=5, attributes={"error": True})
    span("500", 12, kind=3, attributes={"http.response.status_code": 500})
    span("no service", 13, service="")
    span("a+b(c)[d]{e}|f?g" + "n" * 300, 14, trace_state="a=b,c=d")
    both = span("two errors", 15, kind=2, attributes={"error": "text"})
    both.status.code = 2
    return request


def value_as_text(value):
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    if value is None:
        return ""
    return "NaN" if value != value else value


def odd_numbers_as_text(span):
    each_value(span, value_as_text)


def cut_micros_and_duration(span):
    retime(span, lambda ns: ns // 1000 * 1000, lambda ns: ns // 1000 * 1000)


def error_attribute_is_status(span):
    if span["attributes"].get("error") is True:
        del span["attributes"]["error"]
        span["status"] = ["ERROR", ""]


def errors_of_http(span):
    if span["status"][0] == "UNSET" and span["attributes"].get("http.response.status_code") == 500:
        span["status"] = ["ERROR", ""]


def error_text_gives_way(span):
    if span["status"][0] == "ERROR":
        span["attributes"].pop("error", None)


def no_message_without_code(span):
    if span["status"][0] == "UNSET" and span["status"][1]:
        span["attributes"]["otel.status_description"] = span["status"][1]
        span["status"] = ["UNSET", ""]


def event_attribute_is_name(span):
    for event in span["events"]:
        event["name"] = event["attributes"].pop("event", event["name"])


def links_with_type(span):
    for link in span["links"]:
        link["attributes"] = {"opentracing.ref_type": link["attributes"].get("opentracing.ref_type", "follows_from")}


READ = [  # of documents
    (odd_numbers_as_text, "JSON has no number for them, and Jaeger would fail to answer with the whole trace; nothing is an empty text"),
    (error_attribute_is_status, "of an attribute `error` that is true Jaeger makes a status"),
    (errors_of_http, "and of an HTTP status, where there is no other"),
    (error_text_gives_way, "the tag `error` that tells the status takes the place of an attribute of that name"),
]
READ_V3 = [
    (cut_micros_and_duration, "documents have microseconds, cut"),
    (nested_as_json, "Jaeger has no lists and maps: JSON"),
    (links_with_type, "Jaeger's references have a type and no attributes"),
    (event_attribute_is_name, "the name of a log is its field `event`"),
    (no_schema, "Jaeger has no place for it"),
    (no_message_without_code, "a reader takes the message only with a code"),
]
IN_DOCUMENTS = {
    "v2 JSON": READ, "v2 gRPC": [(cut_micros_and_duration, "documents have microseconds, cut"), *READ],
    "v3 JSON": [*READ, *READ_V3], "v3 gRPC": [*READ, *READ_V3],
}


def on_elasticsearch(tmp_path, binary, opensearch, **more):
    return Jaeger(tmp_path / "jaeger", binary, {"server_urls": [opensearch.url], "create_mappings": False} | more)


@pytest.mark.parametrize("client, prefix", [("otlp-grpc", "otlp"), ("jaeger-http", "jaeger-"), ("zipkin", "a.b_c"), ("odd", "")])
def test_jaeger_reads_the_documents(alike, tmp_path, binary, opensearch, client, prefix):
    """Every field as the collector answers it."""
    near, services = alike(towards("elasticsearch", opensearch.url, index_prefix=prefix))
    if client == "odd":
        post(near, odd_trace())
        trace_id = next(spans_of(odd_trace())).trace_id.hex()
    else:
        send(near, client, same_trace())
        trace_id = same_trace()[0]["trace_id"]
    until(lambda: sent(near, "elasticsearch") == len(read(near, "v2 JSON", trace_id)) > 0, what="all at OpenSearch")
    with on_elasticsearch(tmp_path, binary, opensearch, indices={"index_prefix": prefix}) as jaeger:
        until(lambda: len(read(jaeger, "v2 JSON", trace_id)) == len(read(near, "v2 JSON", trace_id)), what="all in answers")
        for query in QUERIES:
            want = by_id(through(shown(near, query, trace_id), IN_DOCUMENTS[query]))
            assert_equal(read(jaeger, query, trace_id, services), want, query)


ASKED = [  # of the odd trace, for Jaeger on Elasticsearch; whether it is found
    ({}, True), ({"operation": "values"}, True), ({"operation": "nothing"}, False), ({"tag": "i:1"}, True), ({"tag": "i:2"}, False),
    ({"tag": "most:9223372036854775807"}, True), ({"tag": "least:-9223372036854775808"}, True), ({"tag": "d:0.1"}, True), ({"tag": "whole:3"}, True),
    ({"tag": "yes:true"}, True), ({"tag": "yes:false"}, False), ({"tag": "error:true"}, True), ({"tag": "span.kind:producer"}, True),
    ({"tag": "otel.status_code:OK"}, True), ({"tag": "dots.in.key:x"}, True), ({"tag": "dots.in.key:y"}, False), ({"tag": "dots@in@key:x"}, False),
    ({"tag": "at@key:y"}, True), ({"tag": "n:4611686018427387904"}, True), ({"tag": "x:1"}, True), ({"tag": "event:other"}, True),
    ({"tag": ["i:1", "d:0.1"]}, True), ({"tag": ["i:1", "text:nothing"]}, False), ({"tag": "otel.scope.name:lib"}, True), ({"tag": "nan:NaN"}, True),
    ({"minDuration": "1ms", "maxDuration": "2ms"}, True), ({"minDuration": "2ms", "maxDuration": "3ms"}, False), ({"maxDuration": "1us"}, True),
    ({"minDuration": "1ms", "maxDuration": "2ms", "operation": "values"}, False), ({"service": "odd"}, False),
    ({"service": "empty-service-name"}, True), ({"start": str(NOW // 1000), "end": str(NOW // 1000 + 10**6)}, True),
    ({"start": str(NOW // 1000 - 2 * 10**6), "end": str(NOW // 1000 - 10**6)}, False),
]


@pytest.mark.parametrize("aliases", [False, True], ids=["daily", "aliases"])
def test_jaeger_searches_the_documents(alike, tmp_path, binary, opensearch, aliases):
    """By its own queries, over daily indices or over aliases that somebody has made for them; as the collector finds."""
    prefix = f"search-{aliases}".lower()
    near, _ = alike(towards("elasticsearch", opensearch.url, index_prefix=prefix))
    request = odd_trace()
    post(near, request)
    n = len(list(spans_of(request)))
    until(lambda: sent(near, "elasticsearch") == n, what="all at OpenSearch")
    if aliases:
        for kind in ("span", "service"):
            action = {"add": {"index": f"{prefix}-jaeger-{kind}-*", "alias": f"{prefix}-jaeger-{kind}-read"}}
            ask(opensearch, "POST", "/_aliases", {"actions": [action]})
    with on_elasticsearch(tmp_path, binary, opensearch, indices={"index_prefix": prefix}, use_aliases=aliases) as jaeger:
        until(lambda: jaeger.get("/api/services").json()["total"] == 2, what="services")
        until(lambda: len(read(jaeger, "v2 JSON", next(spans_of(request)).trace_id.hex())) == n, what="all in answers")
        for query, is_found in ASKED:
            for server in (jaeger, near):
                answer = server.get("/api/traces", **({"service": "odd ☃/1.*"} | query))
                assert answer.status == 200 and len(answer.json()["data"]) == is_found, (query, server, answer)
        assert sorted(jaeger.get("/api/services").json()["data"]) == near.get("/api/services").json()["data"]
        path = "/api/services/odd%20%E2%98%83%2F1.*/operations"
        names = [name for name in near.get(path).json()["data"] if len(name) < 256]  # longer ones are not indexed, as in Jaeger's own mapping
        assert sorted(jaeger.get(path).json()["data"]) == names and len(names) == 13
        assert not jaeger.get("/api/services/nobody/operations").json()["data"]


# --- what it receives ------------------------------------------------------------------------------------


def at_least_a_nanosecond(span):
    if span["end"] <= span["start"]:
        span["end"] = span["start"] + 1
        span["attributes"]["@jaeger@warnings"] = [SomeText("Negative duration detected, ")]


def warnings_apart(span):
    span["attributes"].pop("@jaeger@warnings", None)


def scope_stays(span):
    span["attributes"] |= {"otel.scope.name": span["scope"][0], "otel.scope.version": span["scope"][1]}
    span["scope"] = ["", ""]


def scope_stays_too(span):
    span["attributes"] |= {key: value for key, value in zip(("otel.scope.name", "otel.scope.version"), span["scope"]) if value}


RECEIVED = {  # as DOOR in conversions.py, of Jaeger's receivers
    "otlp": [],
    "jaeger": [*DOOR["jaeger"], (at_least_a_nanosecond, "Jaeger does not take spans that last no time, and says so")],
    "zipkin": [*(row for row in AT_THE_COLLECTOR if row[0] is not newer_names), (scope_stays_too, "this version leaves the newer names")],
}
V2 = [(warnings_apart, "a field of their own")]
V3 = {  # v2 shows tags, whatever they were stored as
    "otlp": [],
    "jaeger": [(scope_stays, "its Thrift receiver leaves these tags alone"), (state_as_tag, "and this one")],
    "zipkin": [],
}


def in_jaeger(spans, protocol, query):
    """What Jaeger shows of spans as a client of this protocol sent them."""
    return by_id(through(spans, RECEIVED[protocol] + (V3[protocol] if query.startswith("v3") else V2) + SHOWN[query]))


@pytest.mark.parametrize("client", ["otlp-grpc", "otlp-json", "jaeger-http", "jaeger-binary", "zipkin"])
def test_the_same_trace_in_both(alike, jaeger, client):
    """Sent to either by a client that others wrote; the collector's answers are what test_doors.py wants, too."""
    near, services = alike()
    trace, protocol = same_trace(), CLIENTS[client][2]
    for server in (near, jaeger):
        send(server, client, trace)
        until(lambda: len(read(server, "v2 JSON")) == len(trace), what="the trace")
    spans = as_zipkin(trace, client) if protocol == "zipkin" else through(trace, CLIENT[client])
    for query in QUERIES:
        assert_equal(read(near, query), wanted(trace, client, query), query)
        assert_equal(read(jaeger, query, like=services), in_jaeger(spans, protocol, query), f"Jaeger's {query}")


@pytest.mark.parametrize("kind, protocol", [("otlp", "grpc"), ("otlp", "http"), ("zipkin", None)])
def test_exported_traces_are_in_jaeger(alike, jaeger, kind, protocol):
    """It is killed in between and forgets: what it had is compared before, and what came while it was away, after."""
    more = {"protocol": protocol} if protocol else {}
    near, services = alike(towards(kind, jaeger.url(f"{kind}_{protocol}" if protocol else kind), **more))

    def export(n):
        requests = [request_of(20, service=f"s{i % 3}", attributes=ATTRIBUTES) for i in range(n)]
        for request in requests:
            next(spans_of(request)).end_time_unix_nano += 10**9  # around its children, or Jaeger would warn of clocks
            post(near, request)
        near.settle()
        return requests

    def assert_all_there(requests):
        until(lambda: near.metric("meshglass_export_queue_batches", exporter=kind) == 0, 30, "an empty queue")
        for request in requests:
            spans = through(from_otlp(request), SHOWN_BY_ZIPKIN[None] if kind == "zipkin" else [])
            trace_id = spans[0]["trace_id"]
            for query in QUERIES:
                assert_equal(read(jaeger, query, trace_id, services), in_jaeger(spans, kind, query), f"Jaeger's {query}")
    first = export(10)
    until(lambda: sent(near, kind) == 200, 30, "all at Jaeger")
    assert_all_there(first)
    jaeger.kill()
    second = export(10)
    until(lambda: "export fails: its batches wait" in near.log_text(), 30, "an attempt that failed")
    jaeger.start()
    until(lambda: sent(near, kind) == 400, 30, "the others")
    assert_all_there(second)
    assert [sent(near, kind, outcome) for outcome in ("refused", "queue_full", "too_old", "disk")] == [0] * 4


# --- what it says ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def both(tmp_path_factory, binary):
    """A collector and a Jaeger that know the world of test_jaeger_api.py, and readers of their gRPC doors."""
    folder = tmp_path_factory.mktemp("both")
    with Jaeger(folder / "jaeger", binary) as jaeger, Collector(folder / "data") as near:
        request = world()
        for server in (near, jaeger):
            post(server, request)
            until(lambda: len(server.get("/api/traces", service="cart", start=0).json()["data"]) == 4, what="the world")
        near.settle()
        with Services(near.doors["query_grpc"]) as ours, Services(jaeger.doors["query_grpc"], like=ours) as theirs:
            yield near, jaeger, ours, theirs


def in_order(items):
    return sorted(items, key=lambda item: json.dumps(item, sort_keys=True))


def said(answer):
    """What an answer says: without the order of lists, and without the words in which a JSON reader complains."""
    if answer.status != 200:
        body = answer.json()
        message = body["error"]["message"] if "error" in body else body["errors"][0]["msg"]
        return answer.status, message.partition("cannot unmarshal JSON: ")[0], set(body)
    return said_json(answer.json())


def said_json(body):
    if "result" in body:
        return by_id(from_otlp(from_json(json.dumps(body["result"]))))
    data = body.get("data")
    if data and isinstance(data[0], dict) and "spans" in data[0]:
        body["data"] = {trace["traceID"]: by_id(from_v2_json(trace)) for trace in data}
        return body
    return {key: in_order(value) if isinstance(value, list) else value for key, value in body.items()}


def v3(**query):
    window = {f"query.start_time_{end}": datetime.datetime.fromtimestamp(NOW // 10**9 + at, datetime.timezone.utc).isoformat().replace("+00:00", "Z")
              for end, at in (("min", -1000), ("max", 1000))}
    return with_query("/api/v3/traces", window | {"query.num_traces": 10, "query.service_name": "cart"} |
                      {f"query.{key}": value for key, value in query.items()})


SHOP = "/api/traces/" + hexed("shop")
NOT_ALIKE = re.compile("error|span.kind|otel|limit")  # see DIFFERENT; and which of its traces Jaeger's memory gives first is chance
SEARCHED = [{"service": "cart"} | query for query, _ in SEARCHES
            if "where" not in query and query.get("service") != "" and not NOT_ALIKE.search(str(query))]
ALIKE = [
    *(with_query("/api/traces", query) for query in SEARCHED),
    *(f"/api/traces?service=cart&{query}" for query in (
        "start=x", "end=1.5", "start=", "start=-1", "start=99999999999999999999", "start=5&end=3", "lookback=x", "service=front/end", "raw=T",
        "raw=perhaps", "minDuration=1", "maxDuration=1x", "minDuration=s", "minDuration=1d", "minDuration=9999999h", "minDuration=-1s",
        "minDuration=0", "maxDuration=", "minDuration=1s1s", "minDuration=2s&maxDuration=1s", "limit=x", "limit=0", "limit=-1", "limit=", "limit=1.0",
        "limit=2147483648", "tag=", "tag=x", "tag=:", "tag=a:b:c", "tags=x", "tags=", "tags=null", "tags=%7B%7D", "tags=%5B1%5D",
        "tags=%7B%22a%22:1%7D", "traceID=xyz")),
    *("/api/traces/" + hexed(name) for name in IDS), SHOP + "?raw=true", SHOP + "?raw=x", SHOP + "?start=x", SHOP + "?end=x", SHOP + "?start=1&end=2",
    *("/api/traces/" + text for text in ("0", "0" * 32, "abc", "xyz", "-1", "+1", "0x1", "1_1", "a" * 33, "g" * 32, "1" * 16 + "g" * 16)),
    f"/api/traces?traceID={hexed('shop')}&traceID=abc", "/api/traces?traceID=abc", "/api/services", "/api/services/cart/operations",
    "/api/services/front%2Fend/operations", "/api/services/nobody/operations", "/api/operations", "/api/operations?service=cart",
    "/api/operations?service=nobody", "/api/operations?service=cart&spanKind=client", "/api/operations?service=cart&spanKind=nonsense",
    "/api/dependencies?endTs=x", "/api/dependencies?lookback=x",
    *(f"/api/dependencies?endTs={NOW // 10**6 + 3_600_000}&lookback=100000000{more}" for more in ("", "&service=cart", "&service=nobody")),
    "/api/v3/services", "/api/v3/operations", "/api/v3/operations?service=nobody", "/api/v3/operations?service=cart&span_kind=client",
    *("/api/v3/traces/" + text for text in (hexed("shop"), hexed("short"), "abc", "xyz", "0" * 32, "a" * 33)),
    *(f"/api/v3/traces/{hexed('shop')}?{query}" for query in ("start_time=x", "end_time=x", "raw_traces=x", "raw_traces=true")),
    v3(), v3(operation_name="load"), v3(operation_name="LOAD"), v3(service_name="nobody"), v3(num_traces=1, operation_name="store"), v3(num_traces=0),
    v3(num_traces=-1), v3(duration_min="1s"), v3(duration_min="x"), v3(duration_max="x"), v3(duration_max="1ms"),
    v3(start_time_min="x"), v3(start_time_max="x"), v3(raw_traces="x"),
]
UNSEARCHED = "Jaeger's memory does not search what is derived; its Elasticsearch does, and the UI has it in its links"
DIFFERENT = [  # path, what Jaeger says, what the collector says (a status, or the traces found), reason
    *((with_query("/api/traces", {"service": "cart", "tag": tag}), [], found, UNSEARCHED) for tag, found in (
        ("error:true", ["shop"]), ("error:false", ["short", "slow"]), ("span.kind:client", ["slow"]), ("otel.status_code:ERROR", ["shop"]),
        ("otel.scope.name:lib", ["short", "slow", "shop"]))),
    ("/api/traces?limit=10", 400, ["bad", "short", "slow", "shop"], "a search without a service searches all"),
    (f"/api/traces?traceID={hexed('shop')}&traceID={hexed('shop')}", ["shop", "shop"], ["shop"], "a trace that is asked for twice is told once"),
    ("/api/traces?service=cart&limit=20000", 500, 400, "the limit is ours to name: query.traces_max"),
    ("/api/nothing", 200, 404, "as from Jaeger 2.16 on; before, the UI's page is the answer"), ("/api/v3/nothing", 200, 404, "the same"),
    ("/api/metrics/calls?service=cart", 501, 404, "there are no such metrics"),
    (v3().replace("query.num_traces=10", ""), 500, 200, "as from Jaeger 2.19 on, 100 when none is said"),
    (v3(start_time_min="2100-01-01T00:00:00Z"), 404, 400, "a window that ends before it begins is a mistake"),
]


def assert_each(rows, check):
    """Every row holds; those that do not are told together."""
    wrong = []
    for row in rows:
        try:
            check(*row)
        except AssertionError as error:
            wrong.append(f"{row}: {error}")
    assert rows and not wrong, "\n".join([f"{len(wrong)} of {len(rows)}", *wrong])


def test_answers_are_alike(both):
    def check(path):
        ours, theirs = (server.get(path) for server in both[:2])
        assert ours.status == theirs.status, (ours, theirs)
        assert_equal(said(ours), said(theirs), "ours, theirs")
    assert_each([(path,) for path in ALIKE], check)


def test_answers_that_differ(both):
    def check(path, theirs, ours, reason):
        for server, want in zip(both[:2], (ours, theirs)):
            answer = server.get(path)
            have = answer.status if isinstance(want, int) else [trace["traceID"] for trace in answer.json()["data"]]
            assert have == (want if isinstance(want, int) else [hexed(name) for name in want]), (server, answer)
    assert_each(DIFFERENT, check)


API_V2, API_V3 = "jaeger.api_v2.QueryService", "jaeger.api_v3.QueryService"


def seconds(at):
    return {"seconds": NOW // 10**9 + at}


WINDOW = {"start_time_min": seconds(-1000), "start_time_max": seconds(1000)}
BACKWARDS = {"start_time_min": seconds(1000), "start_time_max": seconds(-1000)}
CART = {"service_name": "cart", "search_depth": 10} | WINDOW
CALLS = [  # service, method, fields
    *((API_V2, "GetTrace", {"trace_id": id}) for id in (IDS["shop"], IDS["short"], IDS["slow"], bytes(16), b"")),
    *((API_V2, "FindTraces", {"query": CART | more}) for more in (
        {}, {"operation_name": "load"}, {"service_name": "nobody"}, {"tags": {"host.name": "h1"}}, {"tags": {"host.name": "h2"}}, BACKWARDS,
        {"duration_min": {"seconds": 1}}, {"duration_max": {"nanos": 1000}}, {"duration_min": {"seconds": 2}, "duration_max": {"seconds": 1}})),
    (API_V2, "FindTraces", {}), (API_V2, "GetServices", {}), *((API_V2, "GetOperations", fields) for fields in (
        {"service": "cart"}, {"service": "nobody"}, {}, {"service": "cart", "span_kind": "client"}, {"service": "cart", "span_kind": "x"})),
    *((API_V2, "GetDependencies", fields) for fields in (
        {"start_time": seconds(-1000), "end_time": seconds(1000)}, {}, {"start_time": seconds(-1000)}, {"end_time": seconds(1000)})),
    (API_V2, "ArchiveTrace", {}),
    *((API_V3, "GetTrace", {"trace_id": id}) for id in (IDS["shop"].hex(), hexed("short"))),
    *((API_V3, "FindTraces", {"query": CART | more}) for more in (
        {}, {"operation_name": "load"}, {"service_name": "nobody"}, {"attributes": {"host.name": "h1"}}, {"attributes": {"host.name": "h2"}},
        {"duration_min": {"seconds": 2}, "duration_max": {"seconds": 1}})),
    (API_V3, "FindTraces", {}), (API_V3, "GetServices", {}), (API_V3, "GetOperations", {"service": "cart", "span_kind": "client"}),
]
BETTER = "a status that names the mistake; Jaeger leaves these to chance"
CALLS_DIFFERENT = [  # service, method, fields, what Jaeger says, what the collector says (a status, or how many messages), reason
    *((API_V2, "GetTrace", {"trace_id": id}, "INTERNAL", "INVALID_ARGUMENT", BETTER) for id in (b"abc", b"x" * 17)),
    *((API_V3, "GetTrace", {"trace_id": id}, "UNKNOWN", "INVALID_ARGUMENT", BETTER) for id in ("xyz", "", "a" * 33)),
    *((API_V3, "FindTraces", {"query": query}, "UNKNOWN", "INVALID_ARGUMENT", BETTER) for query in ({}, {"service_name": "cart", "search_depth": 5})),
    (API_V3, "FindTraces", {"query": CART | {"search_depth": -1}}, "UNKNOWN", "INTERNAL", BETTER),
    (API_V3, "FindTraces", {"query": CART | BACKWARDS}, 0, "INVALID_ARGUMENT", "a window that ends before it begins is a mistake"),
    (API_V3, "GetTrace", {"trace_id": "abc"}, 0, "NOT_FOUND", "the same is said in api_v2"),
    (API_V2, "FindTraces", {"query": CART | {"search_depth": 0}}, "INTERNAL", 3, "100 when none is said"),
    (API_V3, "FindTraces", {"query": CART | {"search_depth": 0}}, "UNKNOWN", 3, "100 when none is said"),
    (API_V2, "FindTraces", {"query": {"service_name": "cart", "search_depth": 5}}, 4, 3, "without a window it is the last two days, as over HTTP"),
    (API_V3, "GetOperations", {}, 1, "INVALID_ARGUMENT", "no service, no operations"),
    (API_V3, "GetDependencies", {"start_time": seconds(-1000), "end_time": seconds(1000)}, "UNIMPLEMENTED", 1, "later Jaegers have it"),
]


def called(services, service, method, fields):
    """What a call has said: its messages as spans, or as they are, or its failure."""
    try:
        answer = services.call(service, method, **fields)
    except grpc.RpcError as error:
        details = error.details()
        return error.code().name, details.removeprefix("failed to fetch dependencies: ").removesuffix(": trace not found")
    if service == API_V2 and isinstance(answer, list):
        return by_id(from_v2_grpc(answer))
    if isinstance(answer, list):
        return by_id(span for data in answer for span in from_otlp(ExportTraceServiceRequest.FromString(data.SerializeToString())))
    return said_json(json_format.MessageToDict(answer))


def test_calls_are_alike(both):
    def check(*call):
        ours, theirs = (called(services, *call) for services in both[2:])
        assert_equal(ours, theirs, "ours, theirs")
    assert_each(CALLS, check)


def test_calls_that_differ(both):
    def check(service, method, fields, theirs, ours, reason):
        for services, want in zip(both[2:], (ours, theirs)):
            if isinstance(want, str):
                assert failure(services.call, service, method, **fields)[0] == want
            else:
                answer = services.call(service, method, **fields)
                assert (len(answer) if isinstance(answer, list) else 1) == want, answer
    assert_each(CALLS_DIFFERENT, check)
