"""Exporters against servers that others wrote: the OpenTelemetry Collector for OTLP and Zipkin, OpenSearch for Elasticsearch. Every span that was
acked is there in the end, counted by the ids in what the server itself has written, although the server was killed in the middle."""

import collections
import http.client
import json
import random
import threading
import time

import pytest
from conversions import SHOWN_BY_ZIPKIN, endpoints_as_attributes, no_ok, through
from harness import Connection, assert_balanced, until
from otlp import canonical, from_json, request_of, singles, span_of, spans_of
from peers import OpenSearch, OtelCollector, jars, otel_binary
from same_trace import as_zipkin, assert_equal, by_id, from_otlp, same_trace, send
from test_exporters import sent, towards

ATTRIBUTES = {"k": "käse", "n": -7, "double": 0.5, "flag": True, "list": [1, "x"], "map": {"a": 1}, "bytes": b"\0\1"}


@pytest.fixture(scope="module")
def otel():
    return otel_binary()


class Load:
    """Sends traces to a collector from two threads while the block lasts; `acked` has what was taken."""

    def __init__(self, near, spans=20):
        self.near, self.spans, self.acked, self.failed, self.lock, self.end = near, spans, [], [], threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self.run) for _ in range(2)]

    def run(self):
        with self.near.connect("otlp_http") as connection:
            while not self.end.wait(0.005):
                request = request_of(self.spans, service=f"s{len(self.acked) % 3}", attributes=ATTRIBUTES)
                try:
                    is_taken = self.near.send(request.SerializeToString(), connection=connection).status == 200
                except (OSError, http.client.HTTPException):
                    is_taken = False
                with self.lock:
                    (self.acked if is_taken else self.failed).append(request)

    def wait_for(self, more):
        target = len(self.acked) + more
        until(lambda: len(self.acked) >= target, 30, f"{more} more acked traces")

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.end.set()
        for thread in self.threads:
            thread.join()


def kill_under_load(near, peer, kind):
    """Load; the peer is killed, stays away until the exporter has missed it, and comes back. Returns what was acked, all of it answered for."""
    with Load(near) as load:
        until(lambda: sent(near, kind) > 500, 30, "the first spans at the peer")
        threading.Event().wait(random.uniform(0, 0.3))  # a random moment, not a barrier
        peer.kill()
        until(lambda: "export fails: its batches wait" in near.log_text(), 30, "an attempt that failed")
        load.wait_for(20)
        until(lambda: near.metric("meshglass_export_queue_batches", exporter=kind) > 0, what="what waits")
        peer.start()
        load.wait_for(20)
    assert not load.failed, f"{len(load.failed)} requests were not taken"
    assert_balanced(near.settle())
    until(lambda: near.metric("meshglass_export_queue_batches", exporter=kind) == 0, 120, "an empty queue")
    assert near.ledger()["accepted"] == sum(len(list(spans_of(request))) for request in load.acked)
    assert [sent(near, kind, outcome) for outcome in ("refused", "queue_full", "too_old", "disk")] == [0] * 4
    return load.acked


# --- OpenTelemetry Collector ------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_otel_collector_killed(make, otel, tmp_path, protocol, compression):
    """What its file exporter wrote is what was acked: each span at least once, no other, and every field as it was sent."""
    with OtelCollector(tmp_path / "peer", otel) as peer:
        near = make(towards("otlp", peer.url(protocol), protocol=protocol, compression=compression, batch_spans=200), name="near")
        acked = kill_under_load(near, peer, "otlp")
        near.stop()
    have = collections.defaultdict(list)
    for line in peer.requests():
        for one in singles(from_json(line)):
            have[span_of(one).span_id].append(canonical(one))
    wanted = {span_of(one).span_id: canonical(one) for request in acked for one in singles(request)}
    missing = wanted.keys() - have.keys()
    assert not missing, f"{len(missing)} of {len(wanted)} acked spans did not arrive"
    assert have.keys() == wanted.keys(), "spans that nobody sent"
    assert not [one for one, copies in have.items() if set(copies) != {wanted[one]}], "a span has changed on the way"
    print(f"{len(wanted)} spans, {sum(map(len, have.values())) - len(wanted)} came twice")


@pytest.mark.parametrize("compression", ["gzip", "none"])
@pytest.mark.parametrize("protocol, limit", [("grpc", {"max_recv_msg_size_mib": 1}), ("http", {"max_request_body_size": 1 << 20})])
def test_otel_collector_with_a_limit(make, otel, tmp_path, protocol, limit, compression):
    """Of a batch of several MB it gets every span once but the one that is larger than a request may be."""
    request = request_of(1000, attributes={"text": random.randbytes(1200).hex()})
    next(spans_of(request)).attributes[0].value.string_value = random.randbytes(1 << 20).hex()
    with OtelCollector(tmp_path / "peer", otel, **{protocol: limit}) as peer:
        near = make(towards("otlp", peer.url(protocol), protocol=protocol, compression=compression), name="near")
        assert near.send(request.SerializeToString()).status == 200
        until(lambda: sent(near, "otlp") == 999, 60)
        assert sent(near, "otlp", "refused") == 1
        near.stop()
    have = sorted(canonical(one) for line in peer.requests() for one in singles(from_json(line)))
    assert have == sorted(canonical(one) for one in list(singles(request))[1:])


# --- its Zipkin receiver ---------------------------------------------------------------------------------


def known_tags(span):
    attributes = span["attributes"]
    attributes.pop("service.name", None)
    for key in [key for key in attributes if key.startswith("host.")]:
        span["resource"][key] = attributes.pop(key)
    span["scope"] = [attributes.pop("otel.library.name", ""), attributes.pop("otel.library.version", "")]
    attributes.pop("otel.scope.name", None)
    attributes.pop("otel.scope.version", None)
    span["trace_state"] = attributes.pop("w3c.tracestate", "")
    if attributes.pop("span.kind", None):
        span["kind"] = "INTERNAL"
    span["status"] = [attributes.pop("otel.status_code", "UNSET"), attributes.pop("otel.status_description", "")]
    if "error" in attributes:
        span["status"][0] = "ERROR"


def texts_with_bars(span):
    for event in span["events"]:
        if "|" in event["name"]:
            event["name"], attributes, _ = event["name"].split("|")
            event["attributes"] = json.loads(attributes)
    while (text := span["attributes"].pop(f"otlp.link.{len(span['links'])}", None)) is not None:
        trace_id, span_id, _, attributes, _ = text.split("|")
        span["links"].append({"trace_id": trace_id, "span_id": span_id, "attributes": json.loads(attributes)})


NETWORK = {"net.host.ip": "network.local.address", "net.peer.ip": "network.peer.address", "peer.service": "service.peer.name"}


def newer_names(span):
    if span["attributes"].keys() & {"net.host.port", "net.peer.port"}:
        span["attributes"] = {NETWORK.get(key, key): value for key, value in span["attributes"].items()}


AT_THE_COLLECTOR = [  # as DOOR in conversions.py, of the Collector's receiver
    (known_tags, "tags that OpenTelemetry has a place for are put there; `error` sets the status and stays"),
    (texts_with_bars, "events and links are read from texts of its own form, which is ours"),
    (endpoints_as_attributes, "OpenTelemetry has attributes for addresses and peers"),
    (newer_names, "and newer names for some of them"),
    (no_ok, "the specification says OK, and this receiver knows only Ok"),
]


@pytest.mark.parametrize("client", ["otlp-grpc", "jaeger-grpc", "zipkin"])
def test_zipkin_receiver_gets_every_field(make, otel, tmp_path, client):
    """Spans that came by each kind of protocol."""
    trace = same_trace()
    with OtelCollector(tmp_path / "peer", otel, "zipkin") as peer:
        near = make(towards("zipkin", peer.url("zipkin") + "/api/v2/spans"), name="near")
        send(near, client, trace)
        until(lambda: sent(near, "zipkin") == len(trace))
        near.stop()
    have = by_id(span for line in peer.requests() for span in from_otlp(from_json(line)))
    assert_equal(have, by_id(through(as_zipkin(trace, client), AT_THE_COLLECTOR)), "at the Collector")


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_zipkin_receiver_killed(make, otel, tmp_path, compression):
    """What it wrote is what was acked: each span at least once, no other, and every field as Zipkin has it."""
    with OtelCollector(tmp_path / "peer", otel, "zipkin") as peer:
        near = make(towards("zipkin", peer.url("zipkin") + "/api/v2/spans", compression=compression, batch_spans=200), name="near")
        acked = kill_under_load(near, peer, "zipkin")
        near.stop()
    want = by_id(through([span for request in acked for span in through(from_otlp(request), SHOWN_BY_ZIPKIN[None])], AT_THE_COLLECTOR))
    have = collections.defaultdict(list)
    for line in peer.requests():
        for span in from_otlp(from_json(line)):
            have[span["span_id"]] += by_id([span]).values()
    missing = want.keys() - have.keys()
    assert not missing, f"{len(missing)} of {len(want)} acked spans did not arrive"
    assert have.keys() == want.keys(), "spans that nobody sent"
    for span_id, copies in have.items():
        for one in copies:
            assert_equal(one, want[span_id], span_id)
    print(f"{len(want)} spans, {sum(map(len, have.values())) - len(want)} came twice")


# --- OpenSearch ------------------------------------------------------------------------------------------


@pytest.fixture
def opensearch():
    with OpenSearch(jars("OpenSearch")) as it:
        yield it


def ask(server, method, path, body=None):
    with Connection(f"127.0.0.1:{server.port}") as connection:
        answer = connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
    assert answer.status == 200, answer
    return answer.json()


def documents(server, index, query=None):
    """Every document of an index, by pages."""
    ask(server, "POST", f"/{index}/_refresh")
    query, after, found = {"query": query or {"match_all": {}}, "size": 5000, "sort": ["_id"]}, [], []
    while True:
        hits = ask(server, "POST", f"/{index}/_search", query | ({"search_after": after} if after else {}))["hits"]["hits"]
        if not hits:
            return [hit["_source"] for hit in found]
        found += hits
        after = hits[-1]["sort"]


def tagged(key, value):
    """Jaeger's own query for a tag: key and value in one nested object."""
    return {"nested": {"path": "tags", "query": {"bool": {"must": [{"term": {"tags.key": key}}, {"term": {"tags.value": value}}]}}}}


def test_opensearch_packed_requests_and_indices_made_by_hand(make, opensearch):
    """Bulk requests are read packed and plain. Where writing makes no index, what is for one waits until somebody has made it."""
    for compression in ("gzip", "none"):
        near = make(towards("elasticsearch", opensearch.url, index_prefix=compression, compression=compression), name=compression)
        assert near.send(request_of(20).SerializeToString()).status == 200
        until(lambda: sent(near, "elasticsearch") == 20, 30)
        assert len(documents(opensearch, f"{compression}-jaeger-span-*")) == 20

    ask(opensearch, "PUT", "/_cluster/settings", {"persistent": {"action.auto_create_index": "false"}})
    near = make(towards("elasticsearch", opensearch.url, index_prefix="hand"), name="near")
    request = request_of(3)
    assert near.send(request.SerializeToString()).status == 200
    until(lambda: near.metric("meshglass_export_retries_total", exporter="elasticsearch") >= 2, 30)
    assert sent(near, "elasticsearch", "refused") == 0
    until(lambda: "index_not_found_exception" in near.log_text())
    for day in {time.strftime("%Y-%m-%d", time.gmtime(span.start_time_unix_nano / 1e9)) for span in spans_of(request)}:
        for kind in ("span", "service"):
            ask(opensearch, "PUT", f"/hand-jaeger-{kind}-{day}")
    until(lambda: sent(near, "elasticsearch") == 3, 30)
    assert len(documents(opensearch, "hand-jaeger-span-*")) == 3


def test_opensearch_killed(make, opensearch):
    """Templates, daily indices and documents as Jaeger's queries want them; every acked span is there once, for its id is the document's."""
    near = make(towards("elasticsearch", opensearch.url, index_prefix="mesh", batch_spans=200, timeout="2s"), name="near")
    acked = kill_under_load(near, opensearch, "elasticsearch")
    templates = {one["name"]: one["index_template"] for one in ask(opensearch, "GET", "/_index_template")["index_templates"]}
    assert {name: one["index_patterns"] for name, one in templates.items() if name.startswith("mesh")} == {
        "mesh-jaeger-span": ["mesh-jaeger-span-*"], "mesh-jaeger-service": ["mesh-jaeger-service-*"]}

    wanted = {span.span_id.hex(): span for request in acked for span in spans_of(request)}
    days = {time.strftime("%Y-%m-%d", time.gmtime(span.start_time_unix_nano / 1e9)) for span in wanted.values()}
    indices = ask(opensearch, "GET", "/_mapping")
    assert {name for name in indices if name.startswith("mesh")} == {f"mesh-jaeger-{kind}-{day}" for day in days for kind in ("span", "service")}
    for name, index in indices.items():
        if name.startswith("mesh-jaeger-span"):
            fields = index["mappings"]["properties"]
            assert [fields[field]["type"] for field in ("traceID", "startTime", "startTimeMillis", "tags")] == ["keyword", "long", "date", "nested"]

    have = documents(opensearch, "mesh-jaeger-span-*")
    missing = wanted.keys() - {one["spanID"] for one in have}
    assert not missing, f"{len(missing)} of {len(wanted)} acked spans did not arrive"
    assert sorted(one["spanID"] for one in have) == sorted(wanted), "a span is there twice, or one that nobody sent"
    for one in have:
        span = wanted[one["spanID"]]
        assert (one["traceID"], one["operationName"], one["startTime"]) == (span.trace_id.hex(), span.name, span.start_time_unix_nano // 1000)
    services = documents(opensearch, "mesh-jaeger-service-*")
    assert {one["serviceName"] for one in services} == {"s0", "s1", "s2"}
    assert {one["operationName"] for one in services} == {span.name for span in wanted.values()}

    for request in random.sample(acked, 5):
        ids = {span.span_id.hex() for span in spans_of(request)}
        trace_id = next(spans_of(request)).trace_id.hex()
        assert {one["spanID"] for one in documents(opensearch, "mesh-jaeger-span-*", {"term": {"traceID": trace_id}})} == ids
    assert len(documents(opensearch, "mesh-jaeger-span-*", tagged("n", "-7"))) == len(wanted)
    assert not documents(opensearch, "mesh-jaeger-span-*", tagged("n", "käse")), "key and value were not matched together"
    near.stop()
