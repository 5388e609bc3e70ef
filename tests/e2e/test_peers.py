"""Exporters against servers that others wrote: the OpenTelemetry Collector for OTLP, OpenSearch for Elasticsearch. Every span that was acked is
there in the end, counted by the ids in what the server itself has written, although the server was killed in the middle."""

import collections
import http.client
import json
import random
import threading
import time

import pytest
from harness import Connection, assert_balanced, until
from otlp import canonical, from_json, request_of, singles, span_of, spans_of
from peers import OpenSearch, OtelCollector, opensearch_jars, otel_binary
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
    until(lambda: near.metric("meshglass_export_queue_batches", exporter=kind) == 0, 30, "an empty queue")
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


# --- OpenSearch ------------------------------------------------------------------------------------------


@pytest.fixture
def opensearch():
    with OpenSearch(opensearch_jars()) as it:
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
