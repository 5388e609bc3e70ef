"""Exporters against real receivers: a second Meshglass over every wire it speaks, and strict stand-ins written from the protocol pages for
Elasticsearch. What was acked reaches the peer, also when the peer is away, slow, refusing, or either side is killed."""

import collections
import gzip
import http.server
import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from harness import SLOW, Collector, assert_balanced, free_ports, run_command, until
from otlp import ExportTraceServiceRequest, ExportTraceServiceResponse, canonical, corpus, freshen, from_json, request_of, set_attributes, singles, spans_of
from rows import row

QUICK = {"exporters.{}.batch_wait": "20ms", "exporters.{}.retry_initial": "50ms", "exporters.{}.retry_max": "500ms"}


def towards(kind, endpoint, **more):
    sets = {key.format(kind): value for key, value in QUICK.items()} | {f"exporters.{kind}.endpoint": endpoint}
    return sets | {f"exporters.{kind}.{key}": value for key, value in more.items()}


def sent(collector, kind, outcome="sent"):
    return collector.metric("meshglass_export_spans_total", exporter=kind, outcome=outcome)


def dump(collector):
    done = run_command("store", "dump", collector.data_dir)
    assert done.returncode == 0, done.stderr
    return sorted(canonical(from_json(line)) for line in done.stdout.splitlines())


class Receiver:
    """An HTTP server that answers as the test says: `answers` is called with (path, headers, body) and gives status, headers, body."""

    def __init__(self, answers):
        outer, self.got = self, []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                length = self.headers.get("content-length")
                body = self.rfile.read(int(length)) if length else b""
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                outer.got.append((self.command, self.path, dict(self.headers.items()), body))
                status, headers, answer = answers(self.path, self.headers, body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_PUT = handle_any

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


# --- a second Meshglass -------------------------------------------------------------------------------


@row("exporters.otlp.protocol")
@pytest.mark.core
@pytest.mark.parametrize("protocol, compression", [("grpc", "gzip"), ("grpc", "zstd"), ("http", "gzip"), ("http", "zstd"), ("http", "none")])
def test_otlp_arrives_whole(make, protocol, compression):
    far = make(name="far")
    endpoint = far.url("otlp_grpc" if protocol == "grpc" else "otlp_http")
    near = make(towards("otlp", endpoint, protocol=protocol, compression=compression), name="near")
    wanted = []
    for i in range(5):
        request = request_of(30, service=f"s{i}", attributes={"k": "v", "list": [1, "x"], "map": {"a": 1}, "bytes": b"\0\1"})
        assert near.send(request.SerializeToString()).status == 200
        wanted += singles(request)
    until(lambda: far.ledger()["accepted"] == 150)
    far.settle()
    assert_balanced(near.settle())
    near.stop()
    far.stop()
    assert dump(far) == sorted(canonical(one) for one in wanted) == dump(near)


def test_corpus_through_otlp(make):
    far = make(name="far")
    near = make(towards("otlp", far.url("otlp_grpc")), name="near")
    n = 0
    for i, body in enumerate(corpus()):
        request = freshen(ExportTraceServiceRequest.FromString(body), 1)
        n += sum(1 for _ in spans_of(request))
        assert near.send(request.SerializeToString()).status == 200
        if n > 5_000:
            break
    until(lambda: far.ledger()["accepted"] == n, 60)
    far.settle()
    near.settle()
    near.stop()
    far.stop()
    assert dump(far) == dump(near)


def test_zipkin_and_otlp_at_once(make):
    far, other = make(name="far"), make(name="other")
    near = make(towards("otlp", far.url("otlp_http"), protocol="http") | towards("zipkin", other.url("zipkin") + "/api/v2/spans"), name="near")
    request = request_of(12, service="Front", attributes={"http.method": "GET"})
    assert near.send(request.SerializeToString()).status == 200
    until(lambda: far.ledger()["accepted"] == 12 and other.ledger()["accepted"] == 12)
    trace_id = next(spans_of(request)).trace_id.hex()
    spans = other.get(f"/api/v2/trace/{trace_id}", "zipkin").json()
    assert len(spans) == 12 and {span["tags"]["http.method"] for span in spans} == {"GET"}
    assert {span["localEndpoint"]["serviceName"] for span in spans} == {"front"}
    assert {span["id"] for span in spans} == {span.span_id.hex() for span in spans_of(request)}


# --- peers in trouble ---------------------------------------------------------------------------------


@pytest.mark.core
def test_nothing_acked_is_lost_while_both_sides_die(make, tmp_path, is_long):
    """The sender is killed in the middle of sending, the receiver too; in the end the receiver has every acked span at least once."""
    address = "127.0.0.1:%d" % free_ports(1)[0]
    far = make({"listen.otlp_http": address}, name="far")
    near = make(towards("otlp", f"http://{address}", protocol="http", batch_spans=50), name="near")
    acked, rounds = set(), 10 if is_long else 3
    for i in range(rounds):
        stop, lock = threading.Event(), threading.Lock()

        def load():
            while not stop.is_set():
                request = request_of(20)
                try:
                    if near.send(request.SerializeToString()).status == 200:
                        with lock:
                            acked.add(next(spans_of(request)).trace_id.hex())
                except OSError:
                    return
        threads = [threading.Thread(target=load) for _ in range(2)]
        for thread in threads:
            thread.start()
        target = len(acked) + 40
        until(lambda: len(acked) >= target, 30)
        near.kill()
        stop.set()
        for thread in threads:
            thread.join()
        if i % 2 == 0:
            far.kill()
            far = far.again().start()
        near = near.again().start()
    missing = set(acked)

    def is_there(trace):
        answer = far.trace(trace)
        return answer.status == 200 and len(answer.json()["data"][0]["spans"]) == 20

    def all_are_there():
        missing.difference_update([trace for trace in missing if is_there(trace)])
        return not missing
    until(all_are_there, 30, f"the arrival of all {len(acked)} acked traces")
    assert_balanced(far.settle())
    near.stop()
    far.stop()


def test_a_peer_that_is_away_for_long(make):
    address = "127.0.0.1:%d" % free_ports(1)[0]
    near = make(towards("otlp", f"http://{address}", protocol="http"), name="near")
    for _ in range(20):
        assert near.send(request_of(50).SerializeToString()).status == 200
    until(lambda: near.metric("meshglass_export_retries_total", exporter="otlp") >= 2)
    assert_balanced(near.settle())
    near.stop()  # the queue outlives a clean stop as well
    near = near.again().start()
    far = make({"listen.otlp_http": address}, name="far")
    until(lambda: far.ledger()["accepted"] == 1000, 30)
    until(lambda: near.metric("meshglass_export_queue_batches", exporter="otlp") == 0)
    near.stop()


def test_a_full_queue_drops_the_oldest_and_counts(make):
    """Nobody takes 60 traces in turn; what a peer then gets is the end of them, and as many are counted as are missing."""
    near = make(towards("otlp", "http://127.0.0.1:9", protocol="http", queue_bytes="1MiB"), name="near")
    traces = []
    for _ in range(60):
        request = request_of(200)
        for span in spans_of(request):
            set_attributes({"pad": os.urandom(200).hex()}, span.attributes)
        assert near.send(request.SerializeToString()).status == 200
        traces.append(next(spans_of(request)).trace_id)
    assert_balanced(near.settle(40))  # the ring does not wait for a dead peer
    until(lambda: near.metric("meshglass_forward_spans_total") == 60 * 200 and near.metric("meshglass_forward_waiting_batches") == 0)
    until(lambda: near.metric("meshglass_export_queue_bytes", exporter="otlp") <= 1 << 20)
    dropped = sent(near, "otlp", "queue_full")
    near.stop()
    with Receiver(lambda *_: (200, {}, b"")) as peer:
        near = near.again(**{"exporters.otlp.endpoint": peer.url, "exporters.otlp.compression": "none"}).start()
        until(lambda: near.metric("meshglass_export_queue_batches", exporter="otlp") == 0, 30, "an empty queue")
        dropped += sent(near, "otlp", "queue_full")  # a start takes a segment of its own
        near.stop()
    came = collections.Counter(span.trace_id for *_, body in peer.got for span in spans_of(ExportTraceServiceRequest.FromString(body)))
    there = [came[trace_id] for trace_id in traces]
    assert sum(there) == 60 * 200 - dropped, "it counts others than are missing"
    first = next(i for i, n in enumerate(there) if n)  # of which some may be in a batch that was dropped
    assert 0 < first < 50, there
    assert there[first + 1:] == [200] * (59 - first), f"others than the oldest are missing: {there}"


@pytest.mark.parametrize("status, outcome", [(400, "refused"), (404, "retry"), (405, "retry"), (429, "retry"), (503, "retry"), (502, "retry"),
                                             (401, "retry")])
def test_what_a_peer_says(make, status, outcome):
    with Receiver(lambda *_: (status, {"Retry-After": "1"} if status in (429, 503) else {}, b"no")) as peer:
        near = make(towards("otlp", peer.url, protocol="http"), name="near")
        assert near.send(request_of(7).SerializeToString()).status == 200
        if outcome == "refused":
            until(lambda: sent(near, "otlp", "refused") == 7)
            assert len(peer.got) == 1
        else:
            until(lambda: len(peer.got) >= 2, 20)
            assert sent(near, "otlp", "refused") == 0 and near.metric("meshglass_export_queue_batches", exporter="otlp") == 1


@pytest.mark.parametrize("status, hint", [(404, "no such service there"), (302, "redirects are not followed, this one leads to https://login.example:")])
@pytest.mark.parametrize("kind", ["otlp", "zipkin", "elasticsearch"])
def test_an_ingress_without_its_backend_loses_nothing(make, kind, status, hint):
    is_away, there = threading.Event(), Elasticsearch()

    def answer(path, headers, body):
        if is_away.is_set():
            return status, {"Location": "https://login.example/?token=s3cret"}, b""
        return there.answer(path, headers, body) if kind == "elasticsearch" else (200, {}, b"")
    with Receiver(answer) as peer:
        near = make(towards(kind, peer.url, **({"protocol": "http"} if kind == "otlp" else {})), name="near")
        assert near.send(request_of(2).SerializeToString()).status == 200
        until(lambda: sent(near, kind) == 2)
        is_away.set()
        assert near.send(request_of(7).SerializeToString()).status == 200
        until(lambda: near.metric("meshglass_export_retries_total", exporter=kind) >= 2)
        assert sent(near, kind, "refused") == 0 and near.metric("meshglass_export_queue_batches", exporter=kind) == 1
        until(lambda: hint in near.log_text() and f"see exporters.{kind}.endpoint" in near.log_text())
        assert "s3cret" not in near.log_text()
        is_away.clear()
        until(lambda: sent(near, kind) == 9)


# --- requests that are too large ------------------------------------------------------------------------

LIMIT = 20000


def larger_than(limit, n=60):
    """A trace that takes several requests of so many bytes, and whose first span is larger than one."""
    request = request_of(n, attributes={"text": "x" * (limit // 13)})
    next(spans_of(request)).attributes[0].value.string_value = os.urandom(limit).hex()
    return request


def ids_in(bodies):
    """How often each span is there."""
    return collections.Counter(span.span_id for body in bodies for span in spans_of(ExportTraceServiceRequest.FromString(body)))


@pytest.mark.parametrize("kind", ["otlp", "zipkin", "elasticsearch"])
def test_a_proxy_that_takes_small_requests_only(make, kind):
    """A batch goes in smaller requests, and only a span that is too large alone is refused."""
    there, taken, sizes = Elasticsearch(), [], []

    def answer(path, headers, body):
        sizes.append(len(body))
        if len(body) > LIMIT:
            return 413, {}, b"<html>"
        taken.append(body)
        return there.answer(path, headers, body) if kind == "elasticsearch" else (202, {}, b"")
    with Receiver(answer) as peer:
        near = make(towards(kind, peer.url, compression="none", **({"protocol": "http"} if kind == "otlp" else {})), name="near")
        request = larger_than(LIMIT)
        assert near.send(request.SerializeToString()).status == 200
        until(lambda: sent(near, kind) == 59)
        assert sent(near, kind, "refused") == 1 and sizes[-1] <= LIMIT < max(sizes)
        until(lambda: "HTTP status 413" in near.log_text())
    if kind == "otlp":
        assert ids_in(taken) == collections.Counter([span.span_id for span in spans_of(request)][1:])


class GrpcReceiver:
    """A server of gRPC's own library, which refuses messages above its limit itself."""

    def __init__(self, limit):
        self.taken = []
        self.server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", limit), ("grpc.so_reuseport", 0)])
        handler = grpc.unary_unary_rpc_method_handler(self.export, response_serializer=ExportTraceServiceResponse.SerializeToString)
        self.server.add_generic_rpc_handlers([
            grpc.method_handlers_generic_handler("opentelemetry.proto.collector.trace.v1.TraceService", {"Export": handler})])
        self.url = "http://127.0.0.1:%d" % self.server.add_insecure_port("127.0.0.1:0")

    def export(self, body, _):
        self.taken.append(body)
        return ExportTraceServiceResponse()

    def __enter__(self):
        self.server.start()
        return self

    def __exit__(self, *_):
        self.server.stop(None).wait()


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_a_grpc_server_that_takes_small_messages_only(make, compression):
    with GrpcReceiver(LIMIT) as peer:
        near = make(towards("otlp", peer.url, protocol="grpc", compression=compression), name="near")
        request = larger_than(LIMIT)
        assert near.send(request.SerializeToString()).status == 200
        until(lambda: sent(near, "otlp") == 59)
        assert sent(near, "otlp", "refused") == 1
        until(lambda: "larger than max" in near.log_text())
        near.stop()
    assert ids_in(peer.taken) == collections.Counter([span.span_id for span in spans_of(request)][1:])


@row("ingest.body_bytes_max")
@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_a_meshglass_that_takes_small_requests_only(make, protocol, compression):
    far = make({"ingest.body_bytes_max": f"{LIMIT}B"}, name="far")
    near = make(towards("otlp", far.url(f"otlp_{protocol}"), protocol=protocol, compression=compression), name="near")
    assert near.send(larger_than(LIMIT).SerializeToString()).status == 200
    until(lambda: sent(near, "otlp") == 59)
    assert sent(near, "otlp", "refused") == 1 and far.ledger()["accepted"] == 59
    assert_balanced(far.settle())


def test_every_field_outlives_the_halving(make):
    """Captured requests of many services, through a proxy that takes a fraction of a batch."""
    taken = []

    def answer(path, headers, body):
        if len(body) > LIMIT:
            return 413, {}, b""
        taken.append(body)
        return 200, {}, b""
    with Receiver(answer) as peer:
        near = make(towards("otlp", peer.url, protocol="http", batch_wait="500ms"), name="near")
        n = 0
        for body in corpus():
            request = freshen(ExportTraceServiceRequest.FromString(body), 1)
            n += sum(1 for _ in spans_of(request))
            assert near.send(request.SerializeToString()).status == 200
            if n > 2_000:
                break
        until(lambda: sent(near, "otlp") == n, 60)
        near.settle()
        near.stop()
        assert any(len(body) > LIMIT for *_, body in peer.got), "nothing was halved"
    assert sorted(canonical(one) for body in taken for one in singles(ExportTraceServiceRequest.FromString(body))) == dump(near)


def test_a_limit_below_every_span(make):
    with Receiver(lambda *_: (413, {}, b"no")) as peer:
        near = make(towards("otlp", peer.url, protocol="http"), name="near")
        assert near.send(request_of(7).SerializeToString()).status == 200
        until(lambda: sent(near, "otlp", "refused") == 7)
        assert sent(near, "otlp") == 0 and len(peer.got) == 13  # a tree of 7 leaves
        assert near.metric("meshglass_export_queue_batches", exporter="otlp") == 0


class Halves:
    """Answers of a proxy with a limit whose backend goes away when it has the first part of a batch."""

    def __init__(self):
        self.taken, self.is_back, self.is_asked_again = [], threading.Event(), threading.Event()

    def answer(self, path, headers, body):
        if len(body) > LIMIT:
            return 413, {}, b""
        if self.taken and not self.is_back.is_set():
            self.is_asked_again.set()
            return self.away()
        self.taken.append(body)
        return 200, {}, b""

    def away(self):
        return 503, {}, b""


@pytest.mark.parametrize("kind", ["otlp", "zipkin"])
def test_halves_that_were_taken_are_not_sent_again(make, kind):
    proxy = Halves()
    with Receiver(proxy.answer) as peer:
        near = make(towards(kind, peer.url, compression="none", **({"protocol": "http"} if kind == "otlp" else {})), name="near")
        request = request_of(60, attributes={"text": "x" * 1500})
        assert near.send(request.SerializeToString()).status == 200
        until(lambda: near.metric("meshglass_export_retries_total", exporter=kind) >= 2)
        proxy.is_back.set()
        until(lambda: sent(near, kind) == 60)
        assert sent(near, kind, "refused") == 0
    have = ids_in(proxy.taken) if kind == "otlp" else collections.Counter(bytes.fromhex(span["id"]) for body in proxy.taken for span in json.loads(body))
    assert have == collections.Counter(span.span_id for span in spans_of(request))


def test_killed_between_two_halves(make):
    """Nothing is missing; what the peer had comes twice, since only a running exporter knows it."""
    class Hanging(Halves):
        def away(self):
            self.is_back.wait(60)
            return 503, {}, b""
    proxy = Hanging()
    with Receiver(proxy.answer) as peer:
        near = make(towards("otlp", peer.url, protocol="http", compression="none", timeout="60s"), name="near")
        request = request_of(60, attributes={"text": "x" * 1500})
        assert near.send(request.SerializeToString()).status == 200
        assert proxy.is_asked_again.wait(60)
        near.kill()
        first = list(proxy.taken)
        proxy.is_back.set()
        near = near.again().start()
        until(lambda: sent(near, "otlp") == 60)
        near.stop()
    wanted = collections.Counter(span.span_id for span in spans_of(request))
    assert ids_in(proxy.taken) == wanted + ids_in(first)


# --- and more trouble -----------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol, other", [("grpc", "http"), ("http", "grpc")])
def test_endpoint_and_protocol_that_do_not_fit_lose_nothing(make, protocol, other):
    far = make(name="far")
    near = make(towards("otlp", far.url(f"otlp_{other}"), protocol=protocol), name="near")
    assert near.send(request_of(7).SerializeToString()).status == 200
    until(lambda: near.metric("meshglass_export_retries_total", exporter="otlp") >= 2)
    assert sent(near, "otlp", "refused") == 0 and near.metric("meshglass_export_queue_batches", exporter="otlp") == 1
    until(lambda: "see exporters.otlp.endpoint and exporters.otlp.protocol" in near.log_text())
    near.stop()
    near = near.again(**{"exporters.otlp.protocol": other}).start()
    until(lambda: sent(near, "otlp") == 7)
    assert far.ledger()["accepted"] == 7
    near.stop()


def test_a_slow_peer_times_out_and_gets_it_again(make):
    slow = threading.Event()

    def answer(*_):
        if not slow.is_set():
            slow.wait(20)
        return 200, {}, b""
    with Receiver(answer) as peer:
        near = make(towards("otlp", peer.url, protocol="http", timeout="300ms"), name="near")
        assert near.send(request_of(3).SerializeToString()).status == 200
        until(lambda: len(peer.got) >= 2)
        slow.set()
        until(lambda: sent(near, "otlp") == 3)


def test_partial_success_is_counted(make):
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = 2
    answer.partial_success.error_message = "two are bad"
    with Receiver(lambda *_: (200, {"Content-Type": "application/x-protobuf"}, answer.SerializeToString())) as peer:
        near = make(towards("otlp", peer.url, protocol="http"), name="near")
        assert near.send(request_of(5).SerializeToString()).status == 200
        until(lambda: sent(near, "otlp") == 3 and sent(near, "otlp", "refused") == 2)


def test_headers_are_sent_and_never_shown(make):
    with Receiver(lambda *_: (200, {}, b"")) as peer:
        near = make(towards("otlp", peer.url, protocol="http", headers="Authorization: Bearer very-secret"), name="near")
        assert near.send(request_of(1).SerializeToString()).status == 200
        until(lambda: peer.got)
        assert peer.got[0][2]["authorization"] == "Bearer very-secret" and peer.got[0][1] == "/v1/traces"
        assert "very-secret" not in near.log_text()
        shown = run_command("config", "--set", "exporters.otlp.headers=Authorization: Bearer very-secret")
        assert "very-secret" not in shown.stdout and "exporters.otlp.headers" in shown.stdout


# --- Elasticsearch ------------------------------------------------------------------------------------


class Elasticsearch:
    """A strict stand-in of the bulk API, for what a real one (test_peers.py) does not do on demand. Unknown shapes are 400, ids make writes idempotent."""

    def __init__(self):
        self.indices, self.templates, self.busy = {}, {}, 0

    def answer(self, path, headers, body):
        if path == "/":
            return 200, {}, json.dumps({"version": {"number": "8.15.0"}, "tagline": "You Know, for Search"}).encode()
        if path.startswith("/_index_template/"):
            self.templates[path.rsplit("/", 1)[1]] = json.loads(body)
            return 200, {}, b'{"acknowledged":true}'
        if path.split("?")[0] != "/_bulk":
            return 404, {}, b"{}"
        if headers["content-type"] != "application/x-ndjson" or not body.endswith(b"\n"):
            return 400, {}, b'{"error":"shape"}'
        if self.busy:
            self.busy -= 1
            return 429, {"Retry-After": "0"}, b"{}"
        lines, items = body.decode().splitlines(), []
        for action, document in zip(lines[::2], lines[1::2], strict=True):
            (kind, meta), = json.loads(action).items()
            assert kind in ("index", "create") and set(meta) <= {"_index", "_id"}
            self.indices.setdefault(meta["_index"], {})[meta["_id"]] = json.loads(document)
            items.append({kind: {"_index": meta["_index"], "_id": meta["_id"], "status": 201}})
        return 200, {}, json.dumps({"took": 1, "errors": False, "items": items}).encode()


@row("exporters.elasticsearch.index_prefix")
def test_elasticsearch_layout(make):
    there = Elasticsearch()
    there.busy = 1
    with Receiver(there.answer) as peer:
        near = make(towards("elasticsearch", peer.url, index_prefix="mesh"), name="near")
        request = request_of(9, service="front", attributes={"n": 5, "text": "käse"})
        assert near.send(request.SerializeToString()).status == 200
        until(lambda: sent(near, "elasticsearch") == 9)
        day = time.strftime("%Y-%m-%d", time.gmtime(next(spans_of(request)).start_time_unix_nano / 1e9))
        spans = there.indices[f"mesh-jaeger-span-{day}"]
        assert len(spans) == 9 and set(there.indices) == {f"mesh-jaeger-span-{day}", f"mesh-jaeger-service-{day}"}
        by_id = {document["spanID"]: document for document in spans.values()}
        for want in spans_of(request):
            have = by_id[want.span_id.hex()]
            assert have["traceID"] == want.trace_id.hex() and have["operationName"] == want.name
            assert have["startTime"] == want.start_time_unix_nano // 1000 and have["startTimeMillis"] == want.start_time_unix_nano // 1_000_000
            assert have["duration"] == (want.end_time_unix_nano - want.start_time_unix_nano) // 1000
            assert have["process"]["serviceName"] == "front"
            tags = {tag["key"]: (tag["type"], tag["value"]) for tag in have["tags"]}
            assert tags["n"] == ("int64", "5") and tags["text"] == ("string", "käse")
        services = there.indices[f"mesh-jaeger-service-{day}"].values()
        assert {(s["serviceName"], s["operationName"]) for s in services} == {("front", span.name) for span in spans_of(request)}
        assert there.templates


# --- rows ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sets, words", [
    ({"exporters.otlp.endpoint": "ftp://x"}, "exporters.otlp.endpoint"), ({"exporters.zipkin.endpoint": "http://"}, "exporters.zipkin.endpoint"),
    ({"exporters.otlp.endpoint": "https://127.0.0.1:1", "exporters.otlp.ca": "/nowhere"}, "/nowhere"),
    ({"exporters.otlp.endpoint": "http://127.0.0.1:1", "exporters.otlp.headers": "no colon"}, "exporters.otlp.headers"),
    ({"exporters.otlp.protocol": "carrier-pigeon"}, "exporters.otlp.protocol"),
    ({"exporters.otlp.queue_bytes": "1"}, "exporters.otlp.queue_bytes"),
])
def test_wrong_rows_are_named(tmp_path, sets, words):
    arguments = [word for key, value in sets.items() for word in ("--set", f"{key}={value}")]
    done = run_command("run", "--set", f"data_dir={tmp_path}/data", *arguments)
    assert done.returncode in (1, 2) and words in done.stderr, done.stderr


def test_a_queue_of_an_exporter_that_is_off_is_told(make):
    near = make(towards("otlp", "http://127.0.0.1:9", protocol="http"), name="near")
    assert near.send(request_of(3).SerializeToString()).status == 200
    near.settle()
    near.stop()
    off = Collector(near.data_dir, near.sets | {"exporters.otlp.endpoint": None}).start()
    try:
        until(lambda: "switched off" in off.log_text())
    finally:
        off.stop(5 * SLOW)
