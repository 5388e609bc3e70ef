"""otlp.py - OTLP as an independent reader and writer see it: everything goes through the published protobuf
classes, nothing through code of ours. Corpus with fresh ids, single-span form for comparing, `store dump` lines back."""

import base64
import json
import os
import struct
import time

import pytest
import zstandard
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from harness import ROOT

__all__ = ["ExportTraceServiceRequest", "ExportTraceServiceResponse", "Span", "Status"]
CORPORA = os.environ.get("MGTEST_CORPORA", str(ROOT / "../shared/corpora"))
EPOCH = 1_700_000_000_000_000_000  # any fixed time for tests that do not search near now


# --- making ------------------------------------------------------------------------------------------

def set_value(value, to):
    if isinstance(value, bool):
        to.bool_value = value
    elif isinstance(value, int):
        to.int_value = value
    elif isinstance(value, float):
        to.double_value = value
    elif isinstance(value, bytes):
        to.bytes_value = value
    elif isinstance(value, (list, tuple)):
        to.array_value.SetInParent()
        for item in value:
            set_value(item, to.array_value.values.add())
    elif isinstance(value, dict):
        to.kvlist_value.SetInParent()
        set_attributes(value, to.kvlist_value.values)
    elif value is not None:
        to.string_value = value


def set_attributes(attributes, to):
    for key, value in attributes.items():
        pair = to.add()
        pair.key = key
        pair.value.SetInParent()
        set_value(value, pair.value)


def add_span(request, service="shop", scope="lib", resource=None, **fields):
    """Appends one span under a resource of its own; fields as in the Span message, attributes as a dict."""
    group = request.resource_spans.add()
    set_attributes({"service.name": service} | (resource or {}), group.resource.attributes)
    scoped = group.scope_spans.add()
    scoped.scope.name = scope
    span = scoped.spans.add()
    attributes = fields.pop("attributes", {})
    set_attributes(attributes, span.attributes)
    for name, value in fields.items():
        setattr(span, name, value)
    return span


def new_id(n):
    return os.urandom(n)


def request_of(n=1, trace_id=None, service="shop", start=None, **fields):
    """n spans of one trace: a root and its children, a microsecond apart."""
    request = ExportTraceServiceRequest()
    trace_id = trace_id or new_id(16)
    start = start or time.time_ns()
    root = new_id(8)
    for i in range(n):
        add_span(request, service, trace_id=trace_id, span_id=root if i == 0 else new_id(8), parent_span_id=b"" if i == 0 else root,
                 name=fields.get("name", f"op-{i % 7}"), kind=2 if i == 0 else 3, start_time_unix_nano=start + i * 1000,
                 end_time_unix_nano=start + i * 1000 + fields.get("duration", 5_000_000),
                 attributes=fields.get("attributes", {"n": i}))
    return request


# --- the corpus ----------------------------------------------------------------------------------------

def corpus(name="astronomy-oteltraces.zst"):
    """The corpus' requests as bytes; the test is skipped where there is no corpus."""
    path = os.path.join(CORPORA, name)
    if not os.path.exists(path):
        pytest.skip(f"no corpus: {name} is not in MGTEST_CORPORA or beside the tree")
    with open(path, "rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as stream:
        data = stream.read()
    at = 0
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        yield data[at + 4:at + 4 + size]
        at += 4 + size


def spans_of(request):
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            yield from scope.spans


def _xor(value, mask):
    return bytes(a ^ b for a, b in zip(value, mask)) if value else value


def freshen(request, repetition, shift_ns=0):
    """Fresh ids, links included, by xor with a value made of the repetition; times moved."""
    mask = struct.pack("<QQ", repetition * 0x9E3779B97F4A7C15 % 2**64, repetition * 0xC2B2AE3D27D4EB4F % 2**64)
    for span in spans_of(request):
        span.trace_id = _xor(span.trace_id, mask)
        span.span_id = _xor(span.span_id, mask)
        span.parent_span_id = _xor(span.parent_span_id, mask)
        span.start_time_unix_nano += shift_ns
        span.end_time_unix_nano += shift_ns
        for link in span.links:
            link.trace_id = _xor(link.trace_id, mask)
            link.span_id = _xor(link.span_id, mask)
        for event in span.events:
            event.time_unix_nano += shift_ns
    return request


# --- comparing -----------------------------------------------------------------------------------------

def singles(request):
    """Every span as a request of its own, with its resource and scope."""
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                one = ExportTraceServiceRequest()
                group = one.resource_spans.add()
                group.resource.CopyFrom(resource.resource)
                group.schema_url = resource.schema_url
                scoped = group.scope_spans.add()
                scoped.scope.CopyFrom(scope.scope)
                scoped.schema_url = scope.schema_url
                scoped.spans.add().CopyFrom(span)
                yield one


def span_of(single):
    return single.resource_spans[0].scope_spans[0].spans[0]


def canonical(single):
    """Bytes that are equal exactly when every field is: absent and empty messages are the same thing."""
    group = single.resource_spans[0]
    group.resource.SetInParent()
    group.scope_spans[0].scope.SetInParent()
    span = group.scope_spans[0].spans[0]
    if span.HasField("status") and not span.status.code and not span.status.message:
        span.ClearField("status")
    for pairs in [group.resource.attributes, group.scope_spans[0].scope.attributes, span.attributes,
                  *[e.attributes for e in span.events], *[k.attributes for k in span.links]]:
        for pair in pairs:
            pair.value.SetInParent()
    return single.SerializeToString(deterministic=True)


def _ids_to_base64(node):
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("traceId", "spanId", "parentSpanId") and isinstance(value, str):
                node[key] = base64.b64encode(bytes.fromhex(value)).decode()
            else:
                _ids_to_base64(value)
    elif isinstance(node, list):
        for item in node:
            _ids_to_base64(item)


def from_json(text):
    """OTLP/JSON, whose ids are hex, through protobuf's own JSON reader; an unknown key is an error."""
    tree = json.loads(text)
    _ids_to_base64(tree)
    return json_format.ParseDict(tree, ExportTraceServiceRequest())


def to_json(request):
    """Strict OTLP/JSON of a request."""
    def hexed(node):
        if isinstance(node, dict):
            return {k: base64.b64decode(v).hex() if k in ("traceId", "spanId", "parentSpanId") else hexed(v) for k, v in node.items()}
        return [hexed(item) for item in node] if isinstance(node, list) else node
    return json.dumps(hexed(json_format.MessageToDict(request, use_integers_for_enums=True)))
