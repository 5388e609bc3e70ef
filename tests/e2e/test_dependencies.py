"""/api/dependencies against a model that asks every pair of spans, for random traces over several services: live, after an
orderly restart, and after kill -9 at a bad moment."""

import collections
import random
import time

import pytest
from harness import assert_balanced
from otlp import ExportTraceServiceRequest, add_span, new_id

pytestmark = pytest.mark.core
SERVICES = ["front", "cart", "pay/ment", "café", "db", "mail"]
WAIT = {"sampling.root_grace": "300ms", "sampling.decision_wait": "1h"}  # no part of a trace is decided before its root


class Model:
    """Traces and what they add up to: (parent, child) -> calls."""

    def __init__(self, seed):
        self.chance, self.edges = random.Random(seed), collections.Counter()

    def trace(self):
        """The spans of one trace as two requests, the root in the second one."""
        parts, trace_id = (ExportTraceServiceRequest(), ExportTraceServiceRequest()), new_id(16)
        spans = [(new_id(8), self.chance.choice(SERVICES)) for _ in range(self.chance.randrange(1, 30))]
        for i, (span_id, service) in enumerate(spans):
            parent_id, parent = self.parent_of(i, spans)
            start = time.time_ns()
            fields = {"trace_id": trace_id, "span_id": span_id, "parent_span_id": parent_id, "name": "op", "kind": 2,
                      "start_time_unix_nano": start, "end_time_unix_nano": start + 1000}
            for _ in range(1 + (self.chance.random() < 0.1)):  # now and then a retry brings a span twice: it counts once
                add_span(parts[i == 0], service, **fields)
            if parent:
                self.edges[parent, service] += 1
        return parts

    def parent_of(self, i, spans):
        if i == 0:
            return b"", None
        if self.chance.random() < 0.1:
            return new_id(8), None  # never sent
        k = self.chance.choice([k for k in range(len(spans)) if k != i])
        return spans[k]

    def send(self, collector, n):
        with collector.connect("otlp_http") as connection:
            for _ in range(n):
                for part in self.trace():
                    answer = collector.send(part.SerializeToString(), connection=connection)
                    assert answer.status == 200, answer

    def data(self, service=None):
        return [{"parent": parent, "child": child, "callCount": calls} for (parent, child), calls in sorted(self.edges.items(), key=lambda item: [
            name.encode() for name in item[0]]) if service in (None, parent, child)]


def dependencies(collector, **query):
    """The last week, as the UI asks for it."""
    window = {"endTs": time.time_ns() // 10**6 + 60000, "lookback": 604800000}
    answer = collector.get("/api/dependencies", **(window | query))
    assert answer.status == 200 and answer.headers["content-type"] == "application/json", answer
    body = answer.json()
    assert body == {"data": body["data"], "total": 0, "limit": 0, "offset": 0, "errors": None}
    return body["data"]


def test_edges_are_those_of_a_model(make):
    model, collector = Model(1), make(WAIT)
    assert dependencies(collector) == []
    for _ in range(3):
        model.send(collector, 20)
        assert_balanced(collector.settle())
        assert dependencies(collector) == model.data()
    for service in SERVICES:
        assert dependencies(collector, service=service) == model.data(service) != []
    assert dependencies(collector, service="nobody") == [] == dependencies(collector, service="Front")
    assert any(edge["parent"] == edge["child"] for edge in model.data()), "calls within one service are shown"
    collector.stop()
    collector = collector.again().start()
    assert dependencies(collector) == model.data()
    collector.stop()


def test_windows(make):
    model, collector = Model(2), make(WAIT)
    model.send(collector, 5)
    collector.settle()
    now = time.time_ns() // 10**6
    hour = 3600000
    for query, is_found in [({}, True), ({"endTs": now + hour, "lookback": 2 * hour}, True), ({"endTs": now + hour, "lookback": hour // 2}, False),
                            ({"endTs": now - hour, "lookback": 10 * hour}, False), ({"endTs": 0, "lookback": 0}, False), ({"lookback": "", "endTs": ""}, True)]:
        answer = collector.get("/api/dependencies", **query)
        assert answer.status == 200 and answer.json()["data"] == (model.data() if is_found else []), query
    collector.stop()


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_kill_changes_no_count(make, seed):
    """The kill comes while traces wait, are decided or are written; what was acked counts exactly once afterwards."""
    model = Model(seed)
    collector = make(WAIT | {"sampling.root_grace": "50ms", "store.block_age": "30ms", "store.partition_age": "1s"})
    for _ in range(4):
        model.send(collector, model.chance.randrange(1, 40))
        collector.kill()
        collector = collector.again().start()
    assert_balanced(collector.settle(30))
    assert dependencies(collector) == model.data()
    model.send(collector, 10)
    collector.settle()
    assert dependencies(collector) == model.data()
    collector.stop()


@pytest.mark.parametrize("query, name", [("endTs=x", "endTs"), ("endTs=1.5", "endTs"), ("lookback=1h", "lookback"), ("lookback=9223372036854775808", "lookback"),
                                         ("endTs=2026-01-01", "endTs"), ("endTs=1&lookback=x", "lookback")])
def test_refusals(collector, query, name):
    answer = collector.get("/api/dependencies?" + query)
    assert answer.status == 400 and answer.json()["data"] is None
    (error,) = answer.json()["errors"]
    assert error["code"] == 400 and error["msg"].startswith(f"unable to parse param '{name}': strconv.ParseInt: parsing ")


@pytest.mark.parametrize("method, path, status", [("POST", "/api/dependencies", 405), ("GET", "/api/dependencies/front", 404), ("HEAD", "/api/dependencies", 200),
                                                  ("GET", "/api/dependencies?endTs=%zz", 400)])
def test_other_requests(collector, method, path, status):
    assert collector.request("query_http", method, path).status == status
