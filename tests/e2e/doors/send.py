"""send.py KIND ADDRESS - unmodified Python clients of Jaeger and Zipkin; runs in an environment of its own, because the last Jaeger
exporters want an old protobuf. Sends one trace and prints what it was: a list of spans, times in ns, values as the client had them."""

import json
import sys
import time

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanKind, Status, StatusCode


def exporter_of(kind, address):
    host, port = address.rsplit(":", 1)
    if kind == "jaeger-compact":
        from opentelemetry.exporter.jaeger.thrift import JaegerExporter
        return JaegerExporter(agent_host_name=host, agent_port=int(port), udp_split_oversized_batches=True)
    if kind == "jaeger-http":
        from opentelemetry.exporter.jaeger.thrift import JaegerExporter
        return JaegerExporter(collector_endpoint=f"http://{address}/api/traces?format=jaeger.thrift")
    if kind == "jaeger-grpc":
        from opentelemetry.exporter.jaeger.proto.grpc import JaegerExporter
        return JaegerExporter(collector_endpoint=address, insecure=True)
    if kind == "zipkin-json":
        from opentelemetry.exporter.zipkin.json import ZipkinExporter
    else:
        from opentelemetry.exporter.zipkin.proto.http import ZipkinExporter
    return ZipkinExporter(endpoint=f"http://{address}/api/v2/spans")


def told(span):
    return {
        "trace_id": f"{span.context.trace_id:032x}", "span_id": f"{span.context.span_id:016x}",
        "parent_id": f"{span.parent.span_id:016x}" if span.parent else "", "name": span.name, "kind": span.kind.name,
        "start": span.start_time, "end": span.end_time, "attributes": dict(span.attributes),
        "events": [{"name": e.name, "time": e.timestamp, "attributes": dict(e.attributes)} for e in span.events],
        "links": [f"{link.context.trace_id:032x}" for link in span.links], "status": span.status.status_code.name,
        "message": span.status.description or "", "service": span.resource.attributes["service.name"],
        "resource": {k: v for k, v in span.resource.attributes.items() if k != "service.name"},
        "scope": span.instrumentation_scope.name, "scope_version": span.instrumentation_scope.version,
    }


def opentelemetry(kind, address):
    kept = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": f"python-{kind}", "host.tag": "h1"}))
    provider.add_span_processor(SimpleSpanProcessor(kept))
    provider.add_span_processor(BatchSpanProcessor(exporter_of(kind, address)))
    tracer = provider.get_tracer("lib", "1.2")
    with tracer.start_as_current_span("linked") as other:
        pass
    with tracer.start_as_current_span("GET /cart", kind=SpanKind.SERVER, links=[Link(other.get_span_context())],
                                      attributes={"text": "käse", "n": 12, "f": 1.5, "yes": True, "list": ["a", "b"]}):
        with tracer.start_as_current_span("SELECT", kind=SpanKind.CLIENT) as child:
            child.add_event("retry", {"attempt": 2})
            child.set_status(Status(StatusCode.ERROR, "boom"))
            time.sleep(0.002)
        with tracer.start_as_current_span("publish", kind=SpanKind.PRODUCER):
            pass
    assert provider.force_flush(20_000)
    provider.shutdown()
    return [told(span) for span in kept.get_finished_spans()]


def py_zipkin(address):
    import requests
    from py_zipkin import Encoding, Kind
    from py_zipkin.zipkin import create_attrs_for_span, zipkin_span

    def transport(encoded):
        answer = requests.post(f"http://{address}/api/v2/spans", data=encoded, headers={"Content-Type": "application/json"}, timeout=20)
        assert answer.status_code == 202, answer.text

    attributes = create_attrs_for_span(sample_rate=100, use_128bit_trace_id=True)
    with zipkin_span(service_name="py-zipkin", zipkin_attrs=attributes, span_name="Root Op", transport_handler=transport, kind=Kind.SERVER,
                     encoding=Encoding.V2_JSON, binary_annotations={"key": "value"}, annotations={"mark": 1_700_000_000.25}):
        with zipkin_span(service_name="py-zipkin", span_name="child", kind=Kind.CLIENT):
            pass
    return [{"trace_id": attributes.trace_id, "span_id": attributes.span_id, "name": "root op", "service": "py-zipkin"}]


kind, address = sys.argv[1:]
print(json.dumps(py_zipkin(address) if kind == "py-zipkin" else opentelemetry(kind, address)))
