"""/metrics in both formats, read by Prometheus' own client parsers, and numbers that must agree with the ledger."""

import pytest
from harness import assert_balanced
from otlp import request_of
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text

pytestmark = pytest.mark.core
OPENMETRICS = "application/openmetrics-text;version=1.0.0"
FORMATS = [  # Accept, content type that must come, parser
    (None, "text/plain; version=0.0.4", text), ("text/plain", "text/plain; version=0.0.4", text), ("*/*", "text/plain; version=0.0.4", text),
    (OPENMETRICS, "application/openmetrics-text; version=1.0.0", openmetrics),
    ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.9", "text/plain; version=0.0.4", text),
    ("application/openmetrics-text;version=1.0.0;q=0.9,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", "application/openmetrics-text; version=1.0.0", openmetrics),
    ("application/json", "text/plain; version=0.0.4", text),
]


@pytest.mark.parametrize("accept, type, parse", FORMATS, ids=[str(row[0])[:60] for row in FORMATS])
def test_formats(collector, accept, type, parse):
    assert collector.send(request_of(3).SerializeToString()).status == 200
    answer = collector.get("/metrics", "metrics", {"Accept": accept} if accept else {})
    assert answer.status == 200
    assert answer.headers["content-type"].replace(" ", "").startswith(type.replace(" ", "")), answer.headers
    families = list(parse(answer.body.decode()))
    names = [family.name for family in families]
    assert len(names) == len(set(names)), "a family twice"
    assert all(family.documentation for family in families)
    assert all(family.name.startswith(("meshglass_", "process_")) for family in families), names
    assert all(family.type != "unknown" for family in families)
    if parse is openmetrics:
        assert answer.body.endswith(b"# EOF\n")


def test_numbers_agree(collector):
    assert collector.send(request_of(50).SerializeToString()).status == 200
    collector.settle()
    ledger = collector.ledger()
    assert_balanced(ledger)
    for key in ("accepted", "stored", "sampled_out", "duplicate", "pending", "refused", "late"):
        assert collector.metric(f"meshglass_ledger_{key}_spans") == ledger[key], key
    assert collector.metric("meshglass_spans_accepted_total") == ledger["accepted"]


def test_counters_count(collector):
    def seen():
        return {key: value for key, value in collector.metrics().items() if not key[0].endswith("_created")}
    before = seen()
    body = request_of(10).SerializeToString()
    assert collector.send(body).status == 200
    after = seen()

    def grown(name, **labels):
        want = set(labels.items())
        return sum(after[k] - before.get(k, 0) for k in after if k[0] == name and want <= k[1])
    assert grown("meshglass_spans_accepted_total", door="otlp_http") == 10
    assert grown("meshglass_ingest_requests_total", door="otlp_http", outcome="accepted") == 1
    assert grown("meshglass_ingest_received_bytes_total", door="otlp_http") == len(body)
    assert grown("meshglass_ingest_inflated_bytes_total", door="otlp_http") == len(body)
    assert grown("meshglass_http_requests_total", door="otlp_http", **{"class": "2xx"}) == 1
    assert grown("meshglass_ack_seconds_count", door="otlp_http") == 1
    assert grown("meshglass_http_received_bytes_total", door="otlp_http") > len(body)


@pytest.mark.parametrize("method, path, status", [("GET", "/", 404), ("POST", "/metrics", 405), ("GET", "/metrics/", 404), ("HEAD", "/metrics", 200)])
def test_other_requests(collector, method, path, status):
    assert collector.request("metrics", method, path).status == status
