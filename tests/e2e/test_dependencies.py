"""/api/dependencies against a model that asks every pair of spans, for random traces over several services: live, after an
orderly restart, and after kill -9 at a bad moment. What Zipkin's and OTLP's clients send of calls, brokers and remote services, against what
Zipkin links, by every door that answers."""

import collections
import json
import random
import time

import pytest
from grpc_client import Services
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


# --- who calls whom: the same by every door --------------------------------------------------------------


def zipkin_span(trace, span_id, kind, service, parent=None, remote=None, **more):
    """One of Zipkin's JSON; what is None is left out."""
    span = {"traceId": f"{trace:x}", "id": f"{span_id:x}", "parentId": parent and f"{parent:x}", "kind": kind, "name": "c",
            "timestamp": time.time_ns() // 1000, "duration": 1000, "localEndpoint": service and {"serviceName": service},
            "remoteEndpoint": None if remote is None else {"serviceName": remote}} | more
    return {key: value for key, value in span.items() if value is not None}


def send_zipkin(collector, *spans):
    answer = collector.request("zipkin", "POST", "/api/v2/spans", json.dumps(spans), {"Content-Type": "application/json"})
    assert answer.status == 202, answer


def zipkin_links(collector):
    """(parent, child) -> (calls, errors)"""
    answer = collector.get("/api/v2/dependencies", door="zipkin", endTs=time.time_ns() // 10**6 + 60000)
    assert answer.status == 200, answer
    return {(link["parent"], link["child"]): (link["callCount"], link.get("errorCount", 0)) for link in answer.json()}


def grpc_calls(collector, package):
    now = time.time_ns() // 10**9
    with Services(collector.doors["query_grpc"]) as services:
        edges = services.call(f"jaeger.{package}.QueryService", "GetDependencies", start_time={"seconds": now - 3600}, end_time={"seconds": now + 60})
    return {(edge.parent, edge.child): edge.call_count for edge in edges.dependencies}


def assert_links(collector, links, steps):
    """Zipkin has the links; Jaeger has their calls, and the steps within services."""
    collector.settle()
    calls = {pair: n for pair, (n, _) in links.items()} | steps
    assert zipkin_links(collector) == links
    assert {(edge["parent"], edge["child"]): edge["callCount"] for edge in dependencies(collector)} == calls
    assert grpc_calls(collector, "api_v2") == grpc_calls(collector, "api_v3") == calls


def test_zipkin_spans(make):
    """A shared id with a database below, a pair of two ids whose client failed, a server alone that names its caller, a broker."""
    collector = make()
    send_zipkin(collector,
                zipkin_span(0xa1, 1, "CLIENT", "sfront", tags={"error": "x"}), zipkin_span(0xa1, 1, "SERVER", "sback", shared=True),
                zipkin_span(0xa1, 2, "CLIENT", "sback", 1, "mysql", tags={"error": ""}),
                zipkin_span(0xa2, 1, "CLIENT", "pfront", tags={"error": "x"}), zipkin_span(0xa2, 2, "SERVER", "pback", 1),
                zipkin_span(0xa3, 1, "SERVER", "rback", remote="rfront"),
                zipkin_span(0xa4, 1, "PRODUCER", "prod", remote="kafka"), zipkin_span(0xa4, 2, "CONSUMER", "cons", 1, "kafka"))
    links = {("sfront", "sback"): (1, 0), ("sback", "mysql"): (1, 1), ("pfront", "pback"): (1, 1), ("rfront", "rback"): (1, 0),
             ("prod", "kafka"): (1, 0), ("kafka", "cons"): (1, 0)}
    assert_links(collector, links, {("sback", "sback"): 1})
    collector.stop()
    collector = collector.again().start()
    assert_links(collector, links, {("sback", "sback"): 1})
    collector.stop()


def test_zipkin_spans_that_know_little(make):
    """No services, no kinds, no parents, halves in two requests, a piece that comes twice: what is not known makes no link."""
    collector = make(WAIT)
    send_zipkin(collector, zipkin_span(0xb1, 1, "SERVER", "back", shared=True, duration=900), zipkin_span(0xb1, 2, None, "back", 1),
                zipkin_span(0xb1, 3, "PRODUCER", "back", 1, timestamp=None, duration=None), zipkin_span(0xb1, 4, "CONSUMER", None, 1, tags={"": ""}),
                zipkin_span(0xb1, 5, "CLIENT", None, 2, "db"), zipkin_span(0xb1, 6, "SERVER", "lost", 99))
    send_zipkin(collector, zipkin_span(0xb1, 1, "CLIENT", "Front", remote="alias"), zipkin_span(0xb1, 5, "CLIENT", None, 2, "db"))
    send_zipkin(collector, zipkin_span(0xb2, 1, None, "x", remote="y"), zipkin_span(0xb3, 1, None, "x"), zipkin_span(0xb4, 1, "CLIENT", None, remote="y"),
                zipkin_span(0xb5, 1, "SERVER", "x", remote=""), zipkin_span(0xb6, 1, "CONSUMER", None, remote="y"))
    collector.settle()
    assert zipkin_links(collector) == {("front", "back"): (1, 0), ("back", "db"): (1, 0), ("x", "y"): (1, 0)}
    assert grpc_calls(collector, "api_v2") == {("Front", "back"): 1, ("back", "back"): 2, ("back", "db"): 1, ("x", "y"): 1}
    collector.stop()


def test_otlp_spans(make):
    """Pairs count once, steps as Jaeger has them; peer.service is the remote name of who sends no spans, and of nobody else."""
    collector, request, trace_id = make(), ExportTraceServiceRequest(), new_id(16)

    def add(service, kind, parent=None, **attributes):
        start = time.time_ns()
        return add_span(request, service, trace_id=trace_id, span_id=new_id(8), parent_span_id=parent.span_id if parent else b"", name="op", kind=kind,
                        start_time_unix_nano=start, end_time_unix_nano=start + 1000, attributes={key.replace("_", "."): value for key, value in attributes.items()})
    internal, server, client, producer, consumer = range(1, 6)
    root = add("shop", server)
    step = add("shop", internal, root, peer_service="nobody")
    cart = add("cart", server, add("shop", client, step, peer_service="alias"), peer_service="nobody")
    query = add("cart", client, cart, peer_service="postgres", net_peer_name="10.0.0.1")
    query.status.code = 2
    add("cart", client, cart, net_peer_name="10.0.0.1", db_system="redis")
    add("mail", consumer, add("cart", producer, cart))
    add("audit", consumer, add("cart", producer, cart, peer_service="kafka"), peer_service="kafka")
    assert collector.send(request.SerializeToString()).status == 200
    links = {("shop", "cart"): (1, 0), ("cart", "postgres"): (1, 1), ("cart", "mail"): (1, 0), ("cart", "kafka"): (1, 0), ("kafka", "audit"): (1, 0)}
    assert_links(collector, links, {("shop", "shop"): 2, ("cart", "cart"): 4})
    collector.stop()


# --- requests ---------------------------------------------------------------------------------------------


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
