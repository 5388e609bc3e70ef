"""send.py KIND ADDRESS < TRACE - unmodified Python clients of OTLP, Jaeger and Zipkin send the trace that comes on standard input, a JSON list of
spans as same_trace.py makes it. With `-` for an address nothing is sent: what the client would have, it prints, a JSON list of messages in base64.

The last Jaeger exporters want an old protobuf: these kinds run in an environment of their own."""

import base64
import concurrent.futures
import http.server
import itertools
import json
import sys
import threading

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import (Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState,
                                 set_span_in_context)

# --- what goes out, kept --------------------------------------------------------------------------------


class HttpSink:
    """Takes what is posted, and says that all is well."""

    def __init__(self):
        got = self.got = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                got.append(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = "127.0.0.1:%d" % self.server.server_address[1]


class JaegerSink:
    """Takes the spans that are posted to a Jaeger collector: one message each, as Jaeger writes them to Kafka."""

    def __init__(self):
        import grpc
        from opentelemetry.exporter.jaeger.proto.grpc.gen import collector_pb2, collector_pb2_grpc
        got = self.got = []

        class Collector(collector_pb2_grpc.CollectorServiceServicer):
            def PostSpans(self, request, context):
                got.extend(span.SerializeToString() for span in request.batch.spans)
                return collector_pb2.PostSpansResponse()

        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(1))
        collector_pb2_grpc.add_CollectorServiceServicer_to_server(Collector(), self.server)
        self.address = "127.0.0.1:%d" % self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()


# --- OpenTelemetry --------------------------------------------------------------------------------------


def exporter_of(kind, address):
    host, port = address.rsplit(":", 1)
    if kind == "otlp-grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        return OTLPSpanExporter(address, insecure=True)
    if kind == "otlp-http":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        return OTLPSpanExporter(f"http://{address}/v1/traces")
    if kind == "jaeger-compact":
        from opentelemetry.exporter.jaeger.thrift import JaegerExporter
        return JaegerExporter(agent_host_name=host, agent_port=int(port), udp_split_oversized_batches=True)
    if kind == "jaeger-thrift-http":
        from opentelemetry.exporter.jaeger.thrift import JaegerExporter
        return JaegerExporter(collector_endpoint=f"http://{address}/api/traces?format=jaeger.thrift")
    if kind == "jaeger-grpc":
        from opentelemetry.exporter.jaeger.proto.grpc import JaegerExporter
        return JaegerExporter(collector_endpoint=address, insecure=True)
    if kind == "zipkin-json":
        from opentelemetry.exporter.zipkin.json import ZipkinExporter
    else:
        from opentelemetry.exporter.zipkin.proto.http import ZipkinExporter
    return ZipkinExporter(endpoint=f"http://{address}/api/v2/spans", local_node_ipv4="10.9.8.7", local_node_port=8080)


class Ids(IdGenerator):
    def __init__(self, span):
        self.span = span

    def generate_trace_id(self):
        return int(self.span["trace_id"], 16)

    def generate_span_id(self):
        return int(self.span["span_id"], 16)


def context_of(trace_id, span_id, state=""):
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED),
                       trace_state=TraceState.from_header([state]) if state else None)


def record(span, kept):
    """One span through the SDK; its trace state is its parent's."""
    provider = TracerProvider(resource=Resource(span["resource"]), id_generator=Ids(span))
    provider.add_span_processor(SimpleSpanProcessor(kept))
    parent = context_of(span["trace_id"], span["parent_id"], span["trace_state"]) if span["parent_id"] else None
    made = provider.get_tracer(*span["scope"]).start_span(
        span["name"], context=set_span_in_context(NonRecordingSpan(parent)) if parent else None, kind=SpanKind[span["kind"]],
        attributes=span["attributes"], links=[Link(context_of(link["trace_id"], link["span_id"]), link["attributes"]) for link in span["links"]],
        start_time=int(span["start"]))
    for event in span["events"]:
        made.add_event(event["name"], event["attributes"], int(event["time"]))
    code, message = span["status"]
    made.set_status(Status(StatusCode[code], message or None))
    made.end(int(span["end"]))


def opentelemetry(trace, kind, address):
    """One process a service, as its exporters expect."""
    for _, spans in itertools.groupby(trace, lambda span: span["resource"]):
        kept, exporter = InMemorySpanExporter(), exporter_of(kind, address)
        for span in spans:
            record(span, kept)
        assert exporter.export(kept.get_finished_spans()) == SpanExportResult.SUCCESS
        exporter.shutdown()


# --- py-zipkin ------------------------------------------------------------------------------------------


def py_zipkin(trace, kind, address):
    """Its encoders; what a context of it sends has times and ids of its own."""
    import requests
    from py_zipkin import Encoding, Kind
    from py_zipkin.encoding import Span, create_endpoint, get_encoder
    encoding, form = {"py-zipkin": (Encoding.V2_JSON, "application/json"), "py-zipkin-proto": (Encoding.V2_PROTO3, "application/x-protobuf")}[kind]
    encoder, spans = get_encoder(encoding), []
    for span in trace:
        tags, (code, message) = dict(span["attributes"]), span["status"]
        peer = [tags.pop(key, None) for key in ("net.peer.port", "peer.service", "net.peer.ip")]
        begin, end = int(span["start"]) / 1e9, int(span["end"]) / 1e9
        spans.append(encoder.encode_span(Span(
            span["trace_id"], span["name"], span["parent_id"] or None, span["span_id"], Kind["LOCAL" if span["kind"] == "INTERNAL" else span["kind"]],
            begin, end - begin, create_endpoint(8080, span["resource"]["service.name"], "10.9.8.7"), create_endpoint(*peer) if any(peer) else None,
            annotations={event["name"]: int(event["time"]) / 1e9 for event in span["events"]},
            tags={key: str(value) for key, value in tags.items()} | ({"error": message} if code == "ERROR" else {}))))
    answer = requests.post(f"http://{address}/api/v2/spans", data=encoder.encode_queue(spans), headers={"Content-Type": form}, timeout=20)
    assert answer.status_code == 202, answer.text


def main():
    kind, address = sys.argv[1:]
    trace = json.load(sys.stdin)
    sink = None
    if address == "-":
        sink = JaegerSink() if kind == "jaeger-grpc" else HttpSink()
        address = sink.address
    if kind.startswith("py-zipkin"):
        py_zipkin(trace, kind, address)
    else:
        opentelemetry(trace, kind, address)
    if sink:
        print(json.dumps([base64.b64encode(message).decode() for message in sink.got]))


main()
