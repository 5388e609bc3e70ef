"""same_trace.py - one trace: sent through any door by clients that others wrote, read through any query door, compared field by field.

A span is a dict of plain values, whatever it was read from: ids and texts, times in ns, attributes with their types. conversions.py says what
must have become of it.
"""

import base64
import json
import os
import subprocess
import sys
import time

from conversions import CLIENT, DOOR, SHOWN, SHOWN_BY_ZIPKIN, through
from grpc_client import Services
from harness import ROOT, SLOW, run_command
from otlp import ExportTraceServiceRequest, from_json, singles, span_of

SENDER = str(ROOT / "tests/e2e/doors/send.py")
PYTHON, NODE = [sys.executable, SENDER], ["node", str(ROOT / "tests/e2e/js/doors.cjs")]
OLD_PYTHON = [os.environ.get("MGTEST_DOORS_PYTHON", str(ROOT / "build/venv-doors/bin/python")), SENDER]
TRACE, OTHER = "8af7651916cd43dda448eb211c80319c", "b2c4651916cd43dd8448eb211c80aaaa"
SERVER, SELECT, PUBLISH, TAKE, COUNT, ELSEWHERE = (f"{number:016x}" for number in (
    0xf0f067aa0ba902b7, 0x00e067aa0ba90201, 0x91, 0xb7ad6b7169203331, 0x7fffffffffffffff, 0x1234567890abcdef))


def same_trace():
    """Five spans of two services: every kind and status, every type of value, events, a link, a peer, times between microseconds."""
    start = time.time_ns() // 10**9 * 10**9 - 60 * 10**9 + 123_456_789
    front, cart = ({"service.name": name, "host.name": host, "shop.cells": cells} for name, host, cells in (("Front", "h1", 4), ("cart", "h2", 5)))

    def span(span_id, parent_id, kind, name, at, duration, resource, **more):
        return {"trace_id": TRACE, "span_id": span_id, "parent_id": parent_id, "trace_state": "vendor=x" if parent_id else "", "name": name,
                "kind": kind, "start": start + at, "end": start + at + duration, "attributes": {}, "events": [], "links": [], "status": ["UNSET", ""],
                "resource": resource, "scope": ["lib", "1.2"]} | more
    return [
        span(SERVER, "", "SERVER", "GET /Cart", 0, 9_000_500, front, attributes={
            "text": "käse ☃ \"", "empty": "", "n": 12, "negative": -7, "large": 2**53 - 1, "f": 1.5, "yes": True, "no": False,
            "list": ["a", "b"]}),
        span(SELECT, SERVER, "CLIENT", "SELECT", 1_000_300, 2_500_400, front, status=["ERROR", "boom"],
             attributes={"peer.service": "Db", "net.peer.ip": "10.1.2.3", "net.peer.port": 5432},
             links=[{"trace_id": OTHER, "span_id": ELSEWHERE, "attributes": {"why": "test"}}],
             events=[{"name": "retry", "time": start + 1_400_111, "attributes": {"attempt": 2, "wait": 0.25, "what": "käse", "last": True}},
                     {"name": "done", "time": start + 2_000_700, "attributes": {}}]),
        span(PUBLISH, SERVER, "PRODUCER", "publish", 4_000_000, 1_000_000, front, status=["OK", ""]),
        span(TAKE, PUBLISH, "CONSUMER", "take", 5_500_000, 2_000_999, cart, attributes={"n": 1}),
        span(COUNT, TAKE, "INTERNAL", "count", 6_000_000, 400, cart),
    ]


# --- sending -------------------------------------------------------------------------------------------

CLIENTS = {  # client: (how it is run, door, protocol)
    "otlp-grpc": (PYTHON, "otlp_grpc", "otlp"), "otlp-http": (PYTHON, "otlp_http", "otlp"), "otlp-json": (NODE, "otlp_http", "otlp"),
    "jaeger-compact": (OLD_PYTHON, "jaeger_compact", "jaeger"), "jaeger-binary": (NODE, "jaeger_binary", "jaeger"),
    "jaeger-thrift-http": (OLD_PYTHON, "jaeger_thrift_http", "jaeger"), "jaeger-http": (NODE, "jaeger_thrift_http", "jaeger"),
    "jaeger-grpc": (OLD_PYTHON, "jaeger_grpc", "jaeger"),
    "zipkin-json": (OLD_PYTHON, "zipkin", "zipkin"), "zipkin-proto": (OLD_PYTHON, "zipkin", "zipkin"),
    "py-zipkin": (OLD_PYTHON, "zipkin", "zipkin"), "py-zipkin-proto": (OLD_PYTHON, "zipkin", "zipkin"),
    "zipkin": (NODE, "zipkin", "zipkin"), "zipkin-exporter": (NODE, "zipkin", "zipkin"),
}


def run_client(client, address, trace):
    text = json.dumps([span | {"start": str(span["start"]), "end": str(span["end"]),  # JavaScript's numbers do not hold them
                               "events": [event | {"time": str(event["time"])} for event in span["events"]]} for span in trace])
    done = subprocess.run([*CLIENTS[client][0], client, address], input=text, capture_output=True, text=True, timeout=60 * SLOW)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def send(collector, client, trace):
    run_client(client, collector.doors[CLIENTS[client][1]], trace)


def encoded(client, trace):
    """The messages that the client would have sent."""
    out = run_client(client, "-", trace)
    return [out.encode()] if CLIENTS[client][0] == NODE else [base64.b64decode(message) for message in json.loads(out)]


# --- comparing -----------------------------------------------------------------------------------------


def flat(value, path=""):
    """(path, value) of every leaf."""
    if isinstance(value, (dict, list)) and value:
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from flat(item, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def assert_equal(have, want, where):
    """Equal in every field; what differs is listed leaf by leaf."""
    have, want = dict(flat(have)), dict(flat(want))
    differ = [f"{path}: have {have.get(path, 'nothing')!r}, want {want.get(path, 'nothing')!r}" for path in sorted(have.keys() | want.keys())
              if path not in have or path not in want or have[path] != want[path]]
    assert not differ, "\n".join([where, *differ[:30]])


def typed(value):
    """1, 1.0 and True are three things."""
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [typed(item) for item in value]
    return (type(value).__name__, value) if isinstance(value, (bool, int, float)) else value


def by_id(spans):
    found = {}
    for span in spans:
        assert span["span_id"] not in found, f"{span['span_id']} is there twice"
        found[span["span_id"]] = typed({"local": None, "remote": None, "debug": False, "schema": ""} | span |
                                       {"events": sorted(span["events"], key=lambda event: (event["time"], event["name"]))})
    return found


def as_zipkin(trace, client):
    """What this client's trace is in Zipkin."""
    sent, protocol = through(trace, CLIENT[client]), CLIENTS[client][2]
    return through(sent, SHOWN_BY_ZIPKIN["zipkin"]) if protocol == "zipkin" else through(through(sent, DOOR[protocol]), SHOWN_BY_ZIPKIN[None])


def wanted(trace, client, query):
    """What a query door must show of the trace that this client has sent."""
    if query == "zipkin":
        return by_id(as_zipkin(trace, client))
    return by_id(through(through(through(trace, CLIENT[client]), DOOR[CLIENTS[client][2]]), SHOWN[query]))


# --- reading -------------------------------------------------------------------------------------------

KINDS = ["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"]


def added(key):
    return key.startswith("meshglass.")  # what the collector says itself of a trace's sampling


def plain_value(value):
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return plain(value.kvlist_value.values)
    return getattr(value, kind) if kind else None


def plain(pairs):
    out = {}
    for pair in pairs:
        if not added(pair.key):
            assert pair.key not in out, f"{pair.key} is there twice"
            out[pair.key] = plain_value(pair.value)
    return out


def from_otlp(request):
    for single in singles(request):
        group, span = single.resource_spans[0], span_of(single)
        scope = group.scope_spans[0].scope
        yield {
            "trace_id": span.trace_id.hex(), "span_id": span.span_id.hex(), "parent_id": span.parent_span_id.hex(), "trace_state": span.trace_state,
            "name": span.name, "kind": KINDS[span.kind], "start": span.start_time_unix_nano, "end": span.end_time_unix_nano,
            "attributes": plain(span.attributes),
            "events": [{"name": event.name, "time": event.time_unix_nano, "attributes": plain(event.attributes)} for event in span.events],
            "links": [{"trace_id": link.trace_id.hex(), "span_id": link.span_id.hex(), "attributes": plain(link.attributes)} for link in span.links],
            "status": [["UNSET", "OK", "ERROR"][span.status.code], span.status.message], "resource": plain(group.resource.attributes),
            "scope": [scope.name, scope.version], "schema": group.schema_url,
        }


def take(tags, key, type=str):
    """The value of the last tag of that key and type, which is removed: derived tags stand behind attributes. None: there is none."""
    for i in range(len(tags) - 1, -1, -1):
        if tags[i][0] == key and isinstance(tags[i][1], type):
            return tags.pop(i)[1]
    return None


def once(tags):
    out = dict(tags)
    assert len(out) == len(tags), f"a tag is there twice: {tags}"
    return out


def from_jaeger(span_id, trace_id, name, start, duration, references, tags, logs, service, process):
    """Jaeger's model, whatever it was read from: references as (type, trace, span), tags as (key, value)."""
    parents = [span for kind, trace, span in references if kind == "CHILD_OF" and trace == trace_id]
    assert len(parents) <= 1, references
    code = take(tags, "otel.status_code") or "UNSET"
    if code == "ERROR":
        assert take(tags, "error", bool) is True
    return {
        "trace_id": trace_id, "span_id": span_id, "parent_id": parents[0] if parents else "", "trace_state": take(tags, "w3c.tracestate") or "",
        "name": name, "kind": (take(tags, "span.kind") or "unspecified").upper(), "start": start, "end": start + duration,
        "links": [{"trace_id": trace, "span_id": span, "attributes": {}} for kind, trace, span in references if kind == "FOLLOWS_FROM"],
        "status": [code, take(tags, "otel.status_description") or ""],
        "scope": [take(tags, "otel.scope.name") or "", take(tags, "otel.scope.version") or ""],
        "events": [{"time": at, "name": take(fields, "event") or "", "attributes": once(fields)} for at, fields in logs], "attributes": once(tags),
        "resource": {"service.name": service} | {key: value for key, value in once(process).items() if not added(key)},
    }


JSON_TYPES = {"string": str, "bool": bool, "int64": int, "float64": float, "binary": base64.b64decode}


def json_tags(tags):
    return [(tag["key"], JSON_TYPES[tag["type"]](tag["value"])) for tag in tags]


def from_v2_json(trace):
    for span in trace["spans"]:
        process = trace["processes"][span["processID"]]
        yield from_jaeger(span["spanID"], span["traceID"], span["operationName"], span["startTime"] * 1000, span["duration"] * 1000,
                          [(r["refType"], r["traceID"], r["spanID"]) for r in span["references"]], json_tags(span["tags"]),
                          [(log["timestamp"] * 1000, json_tags(log["fields"])) for log in span["logs"]],
                          process["serviceName"], json_tags(process["tags"]))


def proto_tags(tags):
    return [(tag.key, (tag.v_str, tag.v_bool, tag.v_int64, tag.v_float64, tag.v_binary)[tag.v_type]) for tag in tags]


def nanos(message):
    return message.seconds * 10**9 + message.nanos


def from_v2_grpc(chunks):
    for span in (span for chunk in chunks for span in chunk.spans):
        yield from_jaeger(span.span_id.hex(), span.trace_id.hex(), span.operation_name, nanos(span.start_time), nanos(span.duration),
                          [(("CHILD_OF", "FOLLOWS_FROM")[r.ref_type], r.trace_id.hex(), r.span_id.hex()) for r in span.references],
                          proto_tags(span.tags), [(nanos(log.timestamp), proto_tags(log.fields)) for log in span.logs],
                          span.process.service_name, proto_tags(span.process.tags))


def from_zipkin(spans):
    for span in spans:
        assert set(span) <= {"traceId", "parentId", "id", "kind", "name", "timestamp", "duration", "localEndpoint", "remoteEndpoint",
                             "annotations", "tags", "debug"}, span
        local, remote = span["localEndpoint"], span.get("remoteEndpoint")
        yield {
            "trace_id": span["traceId"], "span_id": span["id"], "parent_id": span.get("parentId", ""), "trace_state": "", "name": span["name"],
            "kind": span.get("kind", "UNSPECIFIED"), "start": span["timestamp"] * 1000, "end": (span["timestamp"] + span.get("duration", 0)) * 1000,
            "attributes": {key: value for key, value in span.get("tags", {}).items() if not added(key)}, "links": [], "status": ["UNSET", ""],
            "events": [{"name": a["value"], "time": a["timestamp"] * 1000, "attributes": {}} for a in span.get("annotations", [])],
            "resource": {"service.name": local["serviceName"]}, "scope": ["", ""], "debug": span.get("debug", False),
            "local": {"ip": local["ipv4"], "port": local["port"]} if "ipv4" in local else None,
            "remote": {"service": remote["serviceName"], "ip": remote["ipv4"], "port": remote.get("port")} if remote else None,
        }


QUERIES = {"v2 JSON": "query_http", "v3 JSON": "query_http", "v2 gRPC": "query_grpc", "v3 gRPC": "query_grpc", "zipkin": "zipkin"}


def shown(collector, query, trace_id=TRACE, like=None):
    """What a query door shows of a trace; nothing as long as it does not know it. `like`: a gRPC door that describes what this one does not."""
    door = QUERIES[query]
    if door == "query_grpc":
        with Services(collector.doors[door], like=like) as services:
            if query == "v2 gRPC":
                return list(from_v2_grpc(services.call("jaeger.api_v2.QueryService", "GetTrace", trace_id=bytes.fromhex(trace_id))))
            requests = services.call("jaeger.api_v3.QueryService", "GetTrace", trace_id=trace_id)
            return [span for data in requests for span in from_otlp(ExportTraceServiceRequest.FromString(data.SerializeToString()))]
    path = {"v2 JSON": "/api/traces/", "v3 JSON": "/api/v3/traces/", "zipkin": "/api/v2/trace/"}[query]
    answer = collector.get(path + trace_id, door)
    if answer.status == 404:
        return []
    assert answer.status == 200, answer
    if query == "zipkin":
        return list(from_zipkin(answer.json()))
    return list(from_v2_json(answer.json()["data"][0]) if query == "v2 JSON" else from_otlp(from_json(json.dumps(answer.json()["result"]))))


def read(collector, query, trace_id=TRACE, like=None):
    return by_id(shown(collector, query, trace_id, like))


def dumped(collector):
    """What a stopped collector has stored."""
    done = run_command("store", "dump", collector.data_dir)
    assert done.returncode == 0, done.stderr
    return by_id(span for line in done.stdout.splitlines() for span in from_otlp(from_json(line)))
