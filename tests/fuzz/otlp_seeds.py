#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets otlp_scan and otlp_json with the official Python protobuf classes
(package opentelemetry-proto), so that the bytes are not our own writer's.  usage: otlp_seeds.py CORPUS_DIR"""
import base64
import json
import pathlib
import sys

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

TRACE = bytes(range(1, 17))
SPAN = bytes(range(1, 9))
START = 1_700_000_000_123_456_789


def add_span(scope_spans, name="op", trace=TRACE, span=SPAN, **fields):
    return scope_spans.spans.add(trace_id=trace, span_id=span, name=name, start_time_unix_nano=START,
                                 end_time_unix_nano=START + 900, **fields)


def add_attr(owner, key, **value):
    kv = owner.attributes.add(key=key)
    for name, content in value.items():
        setattr(kv.value, name, content)
    kv.value.SetInParent()
    return kv.value


def request(service="cart"):
    r = ExportTraceServiceRequest()
    resource_spans = r.resource_spans.add(schema_url="https://opentelemetry.io/schemas/1.30.0")
    if service is not None:
        add_attr(resource_spans.resource, "service.name", string_value=service)
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name = "lib"
    scope_spans.scope.version = "1.2.3"
    return r, resource_spans, scope_spans


def every_field():
    r, resource_spans, scope_spans = request()
    resource_spans.resource.dropped_attributes_count = 3
    entity = resource_spans.resource.entity_refs.add(schema_url="u", type="service")
    entity.id_keys.append("service.name")
    entity.description_keys.extend(["a", "b"])
    add_attr(scope_spans.scope, "scope.attr", bool_value=True)
    scope_spans.scope.dropped_attributes_count = 1
    scope_spans.schema_url = "s"
    span = add_span(scope_spans, kind=3, trace_state="a=1,b=2", parent_span_id=bytes(range(11, 19)), flags=0x301,
                    dropped_attributes_count=4, dropped_events_count=5, dropped_links_count=6)
    add_attr(span, "string", string_value="h\u00e9llo \u2603")
    add_attr(span, "bool", bool_value=False)
    add_attr(span, "int", int_value=-(2**63))
    add_attr(span, "double", double_value=3.14)
    add_attr(span, "nan", double_value=float("nan"))
    add_attr(span, "bytes", bytes_value=b"\x00\xff\x10")
    add_attr(span, "empty")
    array = add_attr(span, "array").array_value.values
    array.add().string_value = "x"
    array.add().int_value = 2**53 + 1
    array.add()
    values = add_attr(span, "map").kvlist_value.values
    values.add(key="k").value.string_value = "v"
    values.add(key="n").value.array_value.values.add().bool_value = True
    for i in range(2):
        event = span.events.add(time_unix_nano=START + i, name=f"event{i}", dropped_attributes_count=i)
        add_attr(event, "exception.message", string_value="x" * 200)
        link = span.links.add(trace_id=TRACE[::-1], span_id=SPAN[::-1], trace_state="c=3", flags=0x100,
                              dropped_attributes_count=i)
        add_attr(link, "link.attr", int_value=i)
    span.status.code = 2
    span.status.message = "failed"
    return r


def two_groups():
    r, resource_spans, scope_spans = request()
    add_span(scope_spans, "a")
    add_span(scope_spans, "b", kind=2)
    add_span(resource_spans.scope_spans.add(), "c", span=SPAN[::-1])
    add_span(r.resource_spans.add().scope_spans.add(), "no resource")
    return r


def bad_ids():
    r, _, scope_spans = request()
    for trace, span, parent in ((b"", SPAN, b""), (TRACE[:15], SPAN, b""), (bytes(16), SPAN, b""), (TRACE, b"", b""),
                                (TRACE, bytes(8), b""), (TRACE, SPAN, b"\x01"), (TRACE, SPAN, SPAN)):
        add_span(scope_spans, trace=trace, span=span, parent_span_id=parent)
    return r


def nested(levels):
    r, _, scope_spans = request()
    value = add_attr(add_span(scope_spans), "deep")
    for _ in range(levels):
        value = value.array_value.values.add()
    value.int_value = 1
    return r


def scattered():
    """Parts that a writer in field order never makes: merges, unknown fields, the order turned around."""
    r, resource_spans, scope_spans = request()
    span = add_span(scope_spans)
    event = span.events.add(name="e").SerializeToString()
    raw = span.SerializeToString()
    field = lambda number, content: bytes([number << 3 | 2, len(content)]) + content
    raw += b"\xa0\x06\x07" + field(15, b"\x08\x02\x18\x02") + field(11, event) + b"\xf2\x3f\x02hi" + field(15, b"\x12\x01m")
    scope = field(2, raw) + field(1, b"\x0a\x01x") + field(2, raw) + field(3, b"s")
    resource = field(3, b"u") + bytes([2 << 3 | 2]) + varint(len(scope)) + scope + field(1, b"\x10\x02")
    return b"\x0a" + varint(len(resource)) + resource


def varint(n):
    out = b""
    while n >= 128:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def otlp_json(message):
    """proto3 JSON with OTLP's deviations: ids in hex, enums as integers."""
    tree = json_format.MessageToDict(message, use_integers_for_enums=True)

    def walk(node):
        if isinstance(node, list):
            for item in node:
                walk(item)
        elif isinstance(node, dict):
            for key, item in node.items():
                if key in ("traceId", "spanId", "parentSpanId"):
                    node[key] = base64.b64decode(item).hex()
                else:
                    walk(item)
    walk(tree)
    return json.dumps(tree, separators=(",", ":")).encode()


def main():
    root = pathlib.Path(sys.argv[1])
    seeds = {"every_field": every_field(), "two_groups": two_groups(), "bad_ids": bad_ids(), "nested29": nested(29),
             "nested30": nested(30), "empty": ExportTraceServiceRequest()}
    for name, message in seeds.items():
        (root / "otlp_scan" / name).write_bytes(message.SerializeToString())
        (root / "otlp_json" / (name + ".json")).write_bytes(otlp_json(message))
    (root / "otlp_scan" / "scattered").write_bytes(scattered())


if __name__ == "__main__":
    main()
