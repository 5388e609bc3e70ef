"""The archive: a trace that somebody archived is shown by its id after retention has dropped it, and by no search."""

import pytest
from harness import assert_balanced, until
from otlp import new_id, request_of, spans_of
from rows import row

pytestmark = pytest.mark.core
# Beyond its size the store drops what is closed, and every commit closes a partition. It looks once in partition_age.
TIGHT = {"store.disk_max": "1", "store.partition_age": "1s"}
ARCHIVED = {"data": [], "total": 0, "limit": 0, "offset": 0, "errors": []}


def send(collector, n=3, **more):
    request = request_of(n, **more)
    assert collector.send(request.SerializeToString()).status == 200
    return next(spans_of(request)).trace_id.hex()


def archive(collector, trace_id):
    answer = collector.request("query_http", "POST", f"/api/archive/{trace_id}")
    assert answer.status == 200 and answer.headers["content-type"] == "application/json", answer
    assert answer.json() == ARCHIVED


def drop(collector, trace_id):
    """Other traces come until retention has dropped that one."""
    def is_dropped():
        send(collector, service="other")
        collector.settle()
        return collector.trace(trace_id).status == 404
    until(is_dropped, 60, "the drop")


def shown(collector, trace_id):
    """Without the tags that tell the decision: it comes after the first look."""
    answer = collector.trace(trace_id, raw="true").json()
    for process in answer["data"][0]["processes"].values():
        process["tags"] = [tag for tag in process["tags"] if not tag["key"].startswith("meshglass.")]
    return answer


def found(collector, **query):
    return {trace["traceID"] for trace in collector.search(**query)}


def assert_only_by_id(collector, trace_id, before):
    """Shown as it was, wherever an id is asked for; in no search and no list."""
    assert shown(collector, trace_id) == before
    assert len(collector.get("/api/traces", traceID=trace_id, raw="true").json()["data"][0]["spans"]) == len(before["data"][0]["spans"])
    assert collector.get(f"/api/v3/traces/{trace_id}").status == 200
    assert trace_id not in found(collector) and found(collector, service="shop") == set()
    assert "shop" not in collector.get("/api/services").json()["data"]


@row("store.disk_max")
def test_an_archived_trace_outlives_retention(make):
    collector = make(TIGHT)
    kept = send(collector, 20)
    collector.settle()
    before = shown(collector, kept)
    archive(collector, kept)
    assert shown(collector, kept) == before, "no span is shown twice"
    lost = send(collector)
    collector.settle()
    drop(collector, lost)
    assert_only_by_id(collector, kept, before)
    archive(collector, kept)  # again, from the archive itself
    assert_only_by_id(collector, kept, before)
    assert collector.request("query_http", "POST", f"/api/archive/{lost}").status == 404
    assert_balanced(collector.ledger())
    collector.stop()
    collector = collector.again().start()
    assert_only_by_id(collector, kept, before)
    assert collector.trace(lost).status == 404
    collector.stop()


def test_an_archived_trace_survives_a_kill(make):
    """The answer comes when the copy is on disk; also that of a trace that is still in memory."""
    collector = make(TIGHT)
    kept = send(collector, 20)
    archive(collector, kept)
    before = shown(collector, kept)
    collector.kill()
    collector = collector.again().start()
    assert shown(collector, kept) == before
    collector.settle()
    assert shown(collector, kept) == before
    marker = send(collector, service="other")
    collector.settle()
    drop(collector, marker)
    assert_only_by_id(collector, kept, before)
    collector.kill()
    collector = collector.again().start()
    assert_only_by_id(collector, kept, before)
    collector.stop()


def test_retention_by_age(make, is_long):
    """The shortest retention is a minute."""
    if not is_long:
        pytest.skip("takes more than a minute; MGTEST_LONG=1 runs it")
    collector = make({"store.retention": "1m", "store.partition_age": "1s"})
    kept, lost = send(collector), send(collector)
    collector.settle()
    before = shown(collector, kept)
    archive(collector, kept)
    send(collector, service="other")
    collector.settle()
    until(lambda: collector.trace(lost).status == 404, 150, "the drop")
    send(collector, service="other")
    collector.settle()
    assert_only_by_id(collector, kept, before)
    collector.stop()


def test_a_late_span_joins_its_archived_trace(make):
    collector = make(TIGHT)
    trace_id = new_id(16)
    kept = send(collector, 5, trace_id=trace_id)
    collector.settle()
    archive(collector, kept)
    marker = send(collector, service="other")
    collector.settle()
    drop(collector, marker)
    send(collector, 1, trace_id=trace_id, service="late")
    collector.settle()
    (trace,) = collector.search(service="late")
    assert trace["traceID"] == kept and len(trace["spans"]) == 6, "a search that finds a part shows the whole trace"
    collector.stop()


@row("store.pins_max")
def test_a_full_archive_says_so(make):
    collector = make({"store.pins_max": "1"})
    trace_id = send(collector)
    collector.settle()
    answer = collector.request("query_http", "POST", f"/api/archive/{trace_id}")
    assert answer.status == 413 and "store.pins_max" in answer.json()["errors"][0]["msg"], answer
    assert collector.trace(trace_id).status == 200
    collector.stop()


REFUSED = [  # id, status, message
    ("abc", 404, "trace not found"), ("f" * 32, 404, "trace not found"), ("0", 404, "trace not found"), ("0" * 32, 404, "trace not found"),
    ("xyz", 400, 'strconv.ParseUint: parsing "xyz": invalid syntax'), ("a" * 33, 400, "TraceID cannot be longer than 32 hex characters: "),
    ("abc?start=x", 400, "unable to parse param 'start': "), ("abc?end=x", 400, "unable to parse param 'end': "),
]


@pytest.mark.parametrize("path, status, message", REFUSED)
def test_refusals(collector, path, status, message):
    answer = collector.request("query_http", "POST", "/api/archive/" + path)
    body = answer.json()
    assert answer.status == status and body["data"] is None and body["errors"][0]["msg"].startswith(message), answer


@pytest.mark.parametrize("method, path, status", [("GET", "/api/archive/abc", 405), ("POST", "/api/archive/", 405), ("POST", "/api/archive", 405), ("DELETE", "/api/archive/abc", 405)])
def test_other_requests(collector, method, path, status):
    assert collector.request("query_http", method, path).status == status
