"""Unmodified OpenTelemetry SDKs send; the API and `store dump` show the same spans, attribute for attribute.

The truth on the sender's side is the SDK's own encoder run on the finished spans, not the wire that we received."""

import os
import subprocess

import pytest
from harness import ROOT, run_command
from jaeger_view import assert_same
from otlp import canonical, from_json, singles, span_of

SENDER = ROOT / "tests/e2e/js/send.cjs"


def send_python(protocol, endpoint, compression):
    if protocol == "grpc":
        import grpc
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        kinds = {"none": grpc.Compression.NoCompression, "gzip": grpc.Compression.Gzip}
        exporter = OTLPSpanExporter(endpoint, insecure=True, compression=kinds[compression])
    else:
        from opentelemetry.exporter.otlp.proto.http import Compression
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        exporter = OTLPSpanExporter(endpoint, compression=Compression(compression))
    return make_spans(exporter, protocol)


def make_spans(exporter, protocol):
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.trace import Link, SpanKind, Status, StatusCode

    kept = InMemorySpanExporter()
    resource = Resource({"service.name": f"python-{protocol}", "service.version": "1.2.3", "host.cpus": 2, "ratio": 0.5, "flag": True})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("e2e", "0.1", attributes={"scope.attribute": "x"})
    with tracer.start_as_current_span("linked") as other:
        pass
    attributes = {"text": 'käse ☃ \x07 "quoted"', "int": 42, "negative": -7, "large": 2**62, "double": 1.5, "yes": True, "no": False, "empty": "",
                  "strings": ["a", "", "c"], "ints": [1, 2, 3], "doubles": [0.5, -2.25], "bools": [True, False], "long": "x" * 20_000}
    with tracer.start_as_current_span("GET /cart", kind=SpanKind.SERVER, attributes=attributes,
                                      links=[Link(other.get_span_context(), {"why": "test"})]):
        with tracer.start_as_current_span("SELECT", kind=SpanKind.CLIENT) as child:
            child.add_event("retry", {"attempt": 2, "wait": 0.25})
            child.record_exception(ValueError("boom"))
            child.set_status(Status(StatusCode.ERROR, "boom"))
        with tracer.start_as_current_span("publish", kind=SpanKind.PRODUCER) as producer:
            producer.set_status(Status(StatusCode.OK))
    assert provider.force_flush(20_000)
    provider.shutdown()
    return encode_spans(kept.get_finished_spans())


def send_js(protocol, endpoint, compression):
    done = subprocess.run(["node", str(SENDER), protocol, endpoint], capture_output=True, text=True, timeout=60,
                          env=os.environ | {"COMPRESSION": compression})
    assert done.returncode == 0, done.stderr
    return from_json(done.stdout)


SENDERS = [
    ("python", "grpc", send_python), ("python", "http/protobuf", send_python),
    ("js", "grpc", send_js), ("js", "http/protobuf", send_js), ("js", "http/json", send_js),
]


def by_trace(request):
    traces = {}
    for single in singles(request):
        traces.setdefault(span_of(single).trace_id.hex(), []).append(single)
    return traces


@pytest.mark.core
@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("language, protocol, send", SENDERS, ids=[f"{s[0]}-{s[1]}" for s in SENDERS])
def test_spans_arrive_whole(make, language, protocol, send, compression):
    collector = make()
    endpoint = collector.url("otlp_grpc") if protocol == "grpc" else collector.url("otlp_http") + "/v1/traces"
    traces = by_trace(send(protocol, endpoint, compression))
    assert len(traces) == 2
    for trace_id, wanted in traces.items():
        answer = collector.trace(trace_id, raw="true")
        assert answer.status == 200, answer
        assert_same(answer.json()["data"][0], wanted)
    assert f"{language}-{protocol}" in collector.get("/api/services").json()["data"]

    collector.settle()
    for trace_id, wanted in traces.items():  # from the store now
        assert_same(collector.trace(trace_id, raw="true").json()["data"][0], wanted)
    collector.stop()
    dump = run_command("store", "dump", collector.data_dir)
    assert dump.returncode == 0, dump.stderr
    got = sorted(canonical(from_json(line)) for line in dump.stdout.splitlines())
    assert got == sorted(canonical(single) for wanted in traces.values() for single in wanted)
