"""jaeger_view.py - the legacy Jaeger JSON a stored OTLP span must become, written from the mapping table alone, and a
form of both sides in which only what the table fixes is compared (order of tags is not)."""

import base64
import json
import math

KINDS = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}


def plain(value):
    """AnyValue as the JSON inside a string tag."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: plain(pair.value) for pair in value.kvlist_value.values}
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    return getattr(value, kind) if kind else None


def tag(key, value):
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return (key, "string", value.string_value)
    if kind == "bool_value":
        return (key, "bool", value.bool_value)
    if kind == "int_value":
        fits = abs(value.int_value) <= 2**53 - 1
        return (key, "int64", value.int_value if fits else str(value.int_value))
    if kind == "double_value":
        return (key, "float64", value.double_value)
    if kind == "bytes_value":
        return (key, "binary", base64.b64encode(value.bytes_value).decode())
    return (key, "string", "" if kind is None else ("json", json.dumps(plain(value), sort_keys=True)))


def span_tags(span, scope):
    tags = [(key, "string", text) for key, text in (("otel.scope.name", scope.name), ("otel.scope.version", scope.version)) if text]
    tags += [tag(pair.key, pair.value) for pair in span.attributes]
    if span.kind in KINDS:
        tags.append(("span.kind", "string", KINDS[span.kind]))
    if span.status.code:
        tags.append(("otel.status_code", "string", {1: "OK", 2: "ERROR"}[span.status.code]))
    if span.status.code == 2:
        tags.append(("error", "bool", True))
    if span.status.message:
        tags.append(("otel.status_description", "string", span.status.message))
    if span.trace_state:
        tags.append(("w3c.tracestate", "string", span.trace_state))
    return tags


def short_trace_id(raw):
    return raw[8:].hex() if raw[:8] == bytes(8) else raw.hex()


def references(span):
    out = []
    if span.parent_span_id:
        out.append(["CHILD_OF", short_trace_id(span.trace_id), span.parent_span_id.hex()])
    for link in span.links:
        kinds = [p.value.string_value for p in link.attributes if p.key == "opentracing.ref_type"]
        kind = "CHILD_OF" if kinds == ["child_of"] else "FOLLOWS_FROM"
        one = [kind, short_trace_id(link.trace_id), link.span_id.hex()]
        if out and one[1:] == out[0][1:]:
            out[0][0] = kind
        else:
            out.append(one)
    return [tuple(one) for one in out]


def logs(span):
    out = []
    for event in span.events:
        fields = [tag(pair.key, pair.value) for pair in event.attributes]
        if event.name and not any(field[0] == "event" for field in fields):
            fields.insert(0, ("event", "string", event.name))
        out.append((event.time_unix_nano // 1000, freeze(fields)))
    return sorted(out)


def freeze(tags):
    return tuple(sorted(tags, key=repr))


def expected(single):
    """One single-span request as what `shown` makes of the API's answer."""
    group = single.resource_spans[0]
    scope, span = group.scope_spans[0].scope, group.scope_spans[0].spans[0]
    process = [tag(pair.key, pair.value) for pair in group.resource.attributes]
    services = [value for key, _, value in process if key == "service.name"]
    return {
        "traceID": short_trace_id(span.trace_id), "spanID": span.span_id.hex(), "operationName": span.name,
        "references": sorted(references(span)), "startTime": span.start_time_unix_nano // 1000,
        "duration": max(0, span.end_time_unix_nano - span.start_time_unix_nano) // 1000,
        "tags": freeze(span_tags(span, scope)), "logs": logs(span),
        "service": services[-1] if services else None,
        "process": freeze([one for one in process if one[0] != "service.name"]),
    }


def shown_tag(kv):
    value = kv["value"]
    if kv["type"] == "string" and isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            value = ("json", json.dumps(json.loads(value), sort_keys=True))
        except ValueError:
            pass
    if kv["type"] == "float64" and isinstance(value, (int, float)):
        value = float(value)
    return (kv["key"], kv["type"], value)


def shown(trace, span):
    """One span of an answer's trace object."""
    process = trace["processes"][span["processID"]]
    return {
        "traceID": span["traceID"], "spanID": span["spanID"], "operationName": span["operationName"],
        "references": sorted((r["refType"], r["traceID"], r["spanID"]) for r in span["references"]),
        "startTime": span["startTime"], "duration": span["duration"],
        "tags": freeze([shown_tag(kv) for kv in span["tags"]]),
        "logs": sorted((log["timestamp"], freeze([shown_tag(kv) for kv in log["fields"]])) for log in span["logs"]),
        "service": process["serviceName"], "process": freeze([shown_tag(kv) for kv in process["tags"] if not kv["key"].startswith("meshglass.")]),  # ours
    }


def reparse(view):
    """String tags that look like JSON are compared as JSON on both sides."""
    def one(item):
        key, kind, value = item
        if kind == "string" and isinstance(value, str):
            return shown_tag({"key": key, "type": kind, "value": value})
        if kind == "float64" and isinstance(value, float) and not math.isfinite(value):
            return (key, kind, str(value))
        return item
    return view | {"tags": freeze([one(t) for t in view["tags"]]), "process": freeze([one(t) for t in view["process"]]),
                   "logs": sorted((at, freeze([one(t) for t in fields])) for at, fields in view["logs"])}


def assert_same(trace, wanted):
    """`trace`: the API's trace object; `wanted`: single-span requests of that trace, all of them."""
    got = {}
    for span in trace["spans"]:
        got.setdefault(span["spanID"], []).append(shown(trace, span))
    want = {}
    for single in wanted:
        view = reparse(expected(single))
        want.setdefault(view["spanID"], []).append(view)
    assert got.keys() == want.keys(), f"missing {sorted(want.keys() - got.keys())[:5]}, too many {sorted(got.keys() - want.keys())[:5]}"
    for span_id, views in want.items():
        assert sorted(map(repr, got[span_id])) == sorted(map(repr, views)), f"span {span_id}:\n got {got[span_id]}\nwant {views}"
