"""Traces far above what a screen shows come back whole, and memory stays bounded meanwhile."""

import gzip

import pytest
from harness import assert_balanced
from otlp import ExportTraceServiceRequest, add_span, new_id, set_attributes

MIB = 1 << 20


def send_big(collector, n, per_request=2000):
    trace_id, root, ids = new_id(16), new_id(8), []
    for first in range(0, n, per_request):
        request = ExportTraceServiceRequest()
        span = add_span(request, "big", trace_id=trace_id, span_id=root, name="unused")
        scoped = request.resource_spans[0].scope_spans[0]
        del scoped.spans[:]
        for i in range(first, min(n, first + per_request)):
            span = scoped.spans.add()
            span.trace_id, span.span_id, span.name = trace_id, root if i == 0 else new_id(8), f"step {i % 50}"
            span.parent_span_id = b"" if i == 0 else root
            span.start_time_unix_nano = 1_700_000_000_000_000_000 + i * 1_000_000
            span.end_time_unix_nano = span.start_time_unix_nano + 400_000
            set_attributes({"index": i, "url.path": f"/item/{i}", "peer": "db"}, span.attributes)
            ids.append(span.span_id.hex())
        answer = collector.send(gzip.compress(request.SerializeToString(), 1), encoding="gzip")
        assert answer.status == 200 and not answer.body, answer
    return trace_id.hex(), ids


def indices(trace):
    return sorted(next(tag["value"] for tag in span["tags"] if tag["key"] == "index") for span in trace["spans"])


@pytest.mark.core
@pytest.mark.parametrize("n", [10_008, 60_000])
def test_comes_back_whole(make, n):
    collector = make()
    trace_id, ids = send_big(collector, n)
    for where in ("live", "store"):
        answer = collector.trace(trace_id)
        assert answer.status == 200, (where, answer)
        trace = answer.json()["data"][0]
        assert sorted(span["spanID"] for span in trace["spans"]) == sorted(ids), where
        assert indices(trace) == list(range(n)), where
        collector.settle(60)
    assert_balanced(collector.ledger())
    collector.stop()


def test_memory_stays_bounded(make, unsanitized):
    collector = make()
    trace_id, ids = send_big(collector, 60_000)
    collector.settle(60)
    sizes = []
    for _ in range(10):
        assert len(collector.trace(trace_id).json()["data"][0]["spans"]) == 60_000
        sizes.append(collector.resident_bytes())
    assert max(sizes) < 512 * MIB, sizes
    # What malloc keeps for a thread it keeps for each of the four that may read; what six reads leave behind would be more.
    assert sizes[-1] <= max(sizes[:4]) + 64 * MIB, f"grows with each read: {sizes}"
    collector.stop()


def test_idle_memory(make, unsanitized):
    collector = make()
    assert collector.resident_bytes() <= 16 * MIB
    collector.stop()
