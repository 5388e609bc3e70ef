"""Jaeger's query services over gRPC, by a client that learns them from the door itself (reflection)."""

import contextlib
import struct
import time

import grpc
import pytest
from grpc_client import Services, failure
from h2raw import WINDOW_UPDATE, Peer, frame, message
from harness import SLOW, until
from otlp import ExportTraceServiceRequest, add_span, new_id, request_of, spans_of

V2, V3, HEALTH = "jaeger.api_v2.QueryService", "jaeger.api_v3.QueryService", "grpc.health.v1.Health"


@pytest.fixture(scope="module")
def services(collector):
    with Services(collector.doors["query_grpc"]) as it:
        yield it


@pytest.fixture(scope="module")
def trace(collector):
    """27 spans of one trace, two services, an error, an event, a link; and what the ledger of edges must say."""
    request = request_of(26, service="front", start=time.time_ns())
    root = next(spans_of(request))
    child = add_span(request, service="back", trace_id=root.trace_id, span_id=new_id(8), parent_span_id=root.span_id, name="GET /x", kind=2,
                     start_time_unix_nano=root.start_time_unix_nano + 5000, end_time_unix_nano=root.start_time_unix_nano + 2_505_400,
                     attributes={"http.status_code": 500, "list": ["a", 1]})
    child.status.code, child.status.message = 2, "boom"
    event = child.events.add(name="retry", time_unix_nano=child.start_time_unix_nano + 1_000_000)
    event.attributes.add(key="n").value.int_value = 2
    assert collector.send(request.SerializeToString()).status == 200
    collector.settle()
    return request


def root_id(request):
    return next(spans_of(request)).trace_id


def window(request):
    start = next(spans_of(request)).start_time_unix_nano
    return {"start_time_min": {"seconds": start // 10**9 - 60}, "start_time_max": {"seconds": start // 10**9 + 60}}


@pytest.mark.core
def test_reflection_lists_and_describes(services):
    assert {V2, V3, HEALTH} <= services.names()
    span = services.message("jaeger.api_v2.Span").DESCRIPTOR
    assert span.fields_by_name["operation_name"].number == 3 and span.fields_by_name["process"].message_type.name == "Process"
    assert services.message("opentelemetry.proto.trace.v1.TracesData").DESCRIPTOR.fields_by_name["resource_spans"].number == 1


def test_health(services):
    for service in ("", V2, V3):
        assert services.call(HEALTH, "Check", service=service).status == 1
    assert failure(services.call, HEALTH, "Check", service="nobody")[0] == "NOT_FOUND"


@pytest.mark.core
def test_v2_trace_comes_in_chunks_of_ten(services, trace):
    chunks = services.call(V2, "GetTrace", trace_id=root_id(trace))
    assert [len(chunk.spans) for chunk in chunks] == [10, 10, 7]
    spans = {span.span_id: span for chunk in chunks for span in chunk.spans}
    assert set(spans) == {span.span_id for span in spans_of(trace)}
    for want in spans_of(trace):
        have = spans[want.span_id]
        assert have.operation_name == want.name and have.trace_id == want.trace_id
        assert have.start_time.seconds * 10**9 + have.start_time.nanos == want.start_time_unix_nano
        assert have.duration.seconds * 10**9 + have.duration.nanos == want.end_time_unix_nano - want.start_time_unix_nano
        assert [(r.ref_type, r.span_id) for r in have.references] == ([(0, want.parent_span_id)] if want.parent_span_id else [])
    bad = next(span for span in spans.values() if span.process.service_name == "back")
    tags = {tag.key: tag for tag in bad.tags}
    assert tags["http.status_code"].v_int64 == 500 and tags["error"].v_bool and tags["span.kind"].v_str == "server"
    assert tags["otel.status_description"].v_str == "boom" and tags["list"].v_str == '["a",1]'
    assert [(log.fields[0].key, log.fields[0].v_str, log.fields[1].v_int64) for log in bad.logs] == [("event", "retry", 2)]


@pytest.mark.core
def test_v2_search_names_and_dependencies(services, trace):
    now = time.time_ns() // 10**9
    found = services.call(V2, "FindTraces", query={"service_name": "back", "operation_name": "GET /x", "tags": {"http.status_code": "500"},
                                                   "search_depth": 5, **window(trace)})
    assert {span.trace_id for chunk in found for span in chunk.spans} == {root_id(trace)} and sum(len(c.spans) for c in found) == 27
    assert services.call(V2, "FindTraces", query={"service_name": "nobody", **window(trace)}) == []
    assert set(services.call(V2, "GetServices").services) >= {"front", "back"}
    operations = services.call(V2, "GetOperations", service="back").operations
    assert [(operation.name, operation.span_kind) for operation in operations] == [("GET /x", "server")]
    assert list(services.call(V2, "GetOperations", service="back", span_kind="client").operations) == []
    links = services.call(V2, "GetDependencies", start_time={"seconds": now - 3600}, end_time={"seconds": now + 60}).dependencies
    assert {(link.parent, link.child): link.call_count for link in links} == {("front", "front"): 25, ("front", "back"): 1}
    services.call(V2, "ArchiveTrace", trace_id=root_id(trace))


def test_v2_failures(services):
    assert failure(services.call, V2, "GetTrace") == ("INVALID_ARGUMENT", "uninitialized TraceID is not allowed")
    assert failure(services.call, V2, "GetTrace", trace_id=new_id(16)) == ("NOT_FOUND", "trace not found")
    assert failure(services.call, V2, "GetTrace", trace_id=b"abc")[0] == "INVALID_ARGUMENT"
    assert failure(services.call, V2, "ArchiveTrace", trace_id=new_id(16))[0] == "NOT_FOUND"
    assert failure(services.call, V2, "FindTraces") == ("INVALID_ARGUMENT", "missing query")
    assert failure(services.call, V2, "GetDependencies") == ("INVALID_ARGUMENT", "StartTime and EndTime must be initialized.")


@pytest.mark.core
def test_v3(services, trace):
    (data,) = services.call(V3, "GetTrace", trace_id=root_id(trace).hex())
    have = ExportTraceServiceRequest.FromString(data.SerializeToString())
    assert sorted(span.SerializeToString(deterministic=True) for span in spans_of(have)) == \
        sorted(span.SerializeToString(deterministic=True) for span in spans_of(trace))
    found = services.call(V3, "FindTraces", query={"service_name": "front", "search_depth": 5, **window(trace)})
    assert len(found) == 1
    (answer,) = services.call(V3, "FindTraceSummaries", query={"service_name": "front", "search_depth": 5, **window(trace)})
    (summary,) = answer.summaries
    assert (summary.trace_id, summary.root_service_name, summary.span_count, summary.error_span_count) == (root_id(trace).hex(), "front", 27, 1)
    assert "back" in services.call(V3, "GetServices").services
    assert [(o.name, o.span_kind) for o in services.call(V3, "GetOperations", service="back").operations] == [("GET /x", "server")]
    now = time.time_ns() // 10**9
    edges = services.call(V3, "GetDependencies", start_time={"seconds": now - 3600}, end_time={"seconds": now + 60}).dependencies
    assert {(edge.parent, edge.child): edge.call_count for edge in edges} == {("front", "front"): 25, ("front", "back"): 1}


def test_v3_failures(services):
    assert failure(services.call, V3, "GetTrace", trace_id=new_id(16).hex()) == ("NOT_FOUND", "trace not found")
    assert failure(services.call, V3, "GetTrace", trace_id="xyz")[0] == "INVALID_ARGUMENT"
    assert failure(services.call, V3, "FindTraces")[0] == "INVALID_ARGUMENT"
    assert failure(services.call, V3, "FindTraces", query={"service_name": "front"}) == \
        ("INVALID_ARGUMENT", "start time min and max are required parameters")
    assert failure(services.call, V3, "GetOperations")[0] == "INVALID_ARGUMENT"
    assert failure(services.call, V3, "GetDependencies")[0] == "INVALID_ARGUMENT"


# --- calls that end before their answer does ------------------------------------------------------------

SLOW_READER = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65536)]  # its window does not grow


@pytest.fixture(scope="module")
def large(collector):
    """A trace whose answer, 16 MiB, no window of a client that does not read has room for."""
    request = request_of(500, service="large", attributes={"text": "x" * (32 << 10)})
    assert collector.send(request.SerializeToString()).status == 200
    collector.settle()
    return request


def asks_for_large(services, large):
    """The request of a GetTrace, as bytes."""
    return services.message("jaeger.api_v2.GetTraceRequest")(trace_id=root_id(large)).SerializeToString()


def running(collector):
    return collector.metric("meshglass_queries_running")


def sent_bytes(collector):
    return collector.metric("meshglass_http_sent_bytes_total", door="query_grpc")


@contextlib.contextmanager
def unread(collector, services, large):
    """A call of which one message is read, on a connection of its own."""
    with grpc.insecure_channel(collector.doors["query_grpc"], SLOW_READER) as channel:
        call = channel.unary_stream(f"/{V2}/GetTrace")(asks_for_large(services, large))
        next(call)
        yield channel, call


def ends_soon(collector, before):
    """The query has ended, long before it would give up a peer that takes nothing (30 s), and most of the answer was never sent."""
    until(lambda: running(collector) == 0, 4, "the end of the query")
    assert sent_bytes(collector) - before < 8 << 20


@pytest.mark.core
def test_cancelling_ends_the_query(collector, services, large):
    before = sent_bytes(collector)
    with unread(collector, services, large) as (channel, call):
        assert running(collector) == 1, "nobody reads, so it cannot be over"
        call.cancel()
        ends_soon(collector, before)
        again = channel.unary_unary(f"/{V2}/GetServices")(b"", timeout=10 * SLOW)  # the connection goes on
        assert b"large" in again
    assert b"".join(chunk for chunk in services.channel.unary_stream(f"/{V2}/GetTrace")(asks_for_large(services, large))).count(b"x" * 1000) >= 500


def test_going_away_ends_the_query(collector, services, large):
    before = sent_bytes(collector)
    with unread(collector, services, large):
        assert running(collector) == 1
    ends_soon(collector, before)


@pytest.mark.core
def test_a_deadline_ends_the_query(collector, services, large):
    """The client knows nothing of its deadline: it is the server that ends the call."""
    before, refused = sent_bytes(collector), collector.metric("meshglass_http_refused_total", door="query_grpc", reason="deadline")
    with Peer(collector.doors["query_grpc"]) as peer:
        stream = peer.grpc(message(asks_for_large(services, large)), f"/{V2}/GetTrace", extra=[("grpc-timeout", f"{2 * SLOW}S")])
        until(lambda: collector.metric("meshglass_http_refused_total", door="query_grpc", reason="deadline") == refused + 1, what="the deadline")
        ends_soon(collector, before)
        peer.send(frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", 64 << 20)))
        reply = peer.reply(stream)
        assert reply.grpc()[0] == 4 and 0 < len(reply.data) < 8 << 20, (reply.trailers, len(reply.data))  # it had begun


def test_unknown_method(services):
    call = services.channel.unary_unary(f"/{V2}/Nothing")
    with pytest.raises(grpc.RpcError) as caught:
        call(b"", timeout=10)
    assert caught.value.code().name == "UNIMPLEMENTED"
