"""Foreign clients of Zipkin and Jaeger send through every door; what they had is what every query door shows.

Zipkin and Jaeger carry microseconds, and Zipkin only text: that much of a span is compared, everything else exactly."""

import json
import os
import pathlib
import subprocess

import pytest
from harness import ROOT, SLOW, run_command, until
from otlp import from_json, span_of

PYTHON = pathlib.Path(os.environ.get("MGTEST_DOORS_PYTHON", ROOT / "build/venv-doors/bin/python"))
SENDER, JS_SENDER = ROOT / "tests/e2e/doors/send.py", ROOT / "tests/e2e/js/doors.cjs"
DOOR_OF = {"jaeger-compact": "jaeger_compact", "jaeger-binary": "jaeger_binary", "jaeger-http": "jaeger_thrift_http",
           "jaeger-grpc": "jaeger_grpc", "zipkin-json": "zipkin", "zipkin-proto": "zipkin", "py-zipkin": "zipkin", "zipkin": "zipkin",
           "zipkin-exporter": "zipkin"}
KINDS = {"INTERNAL": 1, "SERVER": 2, "CLIENT": 3, "PRODUCER": 4, "CONSUMER": 5}


def run_sender(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60 * SLOW)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def send_python(collector, kind):
    return run_sender(PYTHON, SENDER, kind, collector.doors[DOOR_OF[kind]])


def send_js(collector, kind):
    return run_sender("node", JS_SENDER, kind, collector.doors[DOOR_OF[kind]])


def stored(collector):
    """{span id: (span, resource attributes, scope)} of everything in the store, read by protobuf's own classes."""
    collector.settle()
    collector.stop()
    dump = run_command("store", "dump", collector.data_dir)
    assert dump.returncode == 0, dump.stderr
    found = {}
    for single in map(from_json, dump.stdout.splitlines()):
        group = single.resource_spans[0]
        found[span_of(single).span_id.hex()] = (span_of(single), plain(group.resource.attributes), group.scope_spans[0].scope)
    return found


def plain(attributes):
    out = {}
    for pair in attributes:
        kind = pair.value.WhichOneof("value")
        value = getattr(pair.value, kind) if kind else None
        out[pair.key] = [getattr(item, item.WhichOneof("value")) for item in value.values] if kind == "array_value" else value
    return out


def as_text(value):
    if isinstance(value, (list, tuple)):
        return json.dumps(list(value), separators=(",", ":"))
    return {True: "true", False: "false"}.get(value, value) if isinstance(value, bool) else str(value)


def is_same_value(kind, want, have):
    """Jaeger keeps types but for lists, which its clients write as text; Zipkin keeps text only."""
    if kind.startswith("zipkin"):
        return as_text(want).replace(" ", "").lower() == as_text(have).replace(" ", "").lower()
    if isinstance(want, (list, tuple)):
        return isinstance(have, str)
    return type(want) is type(have) and want == have


@pytest.mark.core
@pytest.mark.parametrize("kind", ["jaeger-compact", "jaeger-http", "jaeger-grpc", "zipkin-json", "zipkin-proto"])
def test_opentelemetry_exporters(make, kind):
    collector = make()
    sent = send_python(collector, kind)
    root = next(span for span in sent if span["name"] == "GET /cart")
    until(lambda: len(collector.trace(root["trace_id"]).json()["data"] or [{"spans": []}]) and
          collector.trace(root["trace_id"]).status == 200 and len(collector.trace(root["trace_id"]).json()["data"][0]["spans"]) == 3)
    found = stored(collector)
    assert set(found) == {span["span_id"] for span in sent}
    for want in sent:
        have, resource, scope = found[want["span_id"]]
        assert have.trace_id.hex() == want["trace_id"] and have.parent_span_id.hex() == want["parent_id"], want
        assert have.name.lower() == want["name"].lower()
        assert have.kind == (0 if want["kind"] == "INTERNAL" and kind.startswith("zipkin") else KINDS[want["kind"]])  # Zipkin has no such kind
        assert abs(have.start_time_unix_nano - want["start"]) <= 1000
        duration = have.end_time_unix_nano - have.start_time_unix_nano
        assert abs(duration - (want["end"] - want["start"])) <= 2000
        assert resource["service.name"] == want["service"]
        assert {True: 2, False: 0}[want["status"] == "ERROR"] == have.status.code
        attributes = plain(have.attributes) | resource
        for key, value in want["attributes"].items():
            assert key in attributes and is_same_value(kind, value, attributes[key]), (key, value, attributes.get(key))
        assert [event.name.split(" ")[0] for event in have.events if "retry" in event.name] == [e["name"] for e in want["events"]]
        assert (scope.name, scope.version) == (want["scope"], want["scope_version"])
        if kind.startswith("jaeger"):
            assert [link.trace_id.hex() for link in have.links] == want["links"]


@pytest.mark.core
@pytest.mark.parametrize("kind", ["zipkin", "zipkin-exporter", "jaeger-binary", "jaeger-http"])
def test_javascript_clients(make, kind):
    collector = make()
    sent = send_js(collector, kind)
    until(lambda: collector.trace(sent["trace_id"]).status == 200)
    trace = until(lambda: (lambda t: t if len(t["spans"]) >= (2 if "child_id" in sent else 1) else None)(
        collector.trace(sent["trace_id"]).json()["data"][0]))
    spans = {span["spanID"]: span for span in trace["spans"]}
    assert sent["span_id"].rjust(16, "0") in spans
    assert sent["service"] in {process["serviceName"] for process in trace["processes"].values()}
    if "child_id" in sent:
        child = spans[sent["child_id"].rjust(16, "0")]
        assert [reference["spanID"] for reference in child["references"]][:1] == [sent["span_id"].rjust(16, "0")]
        assert ("error", True) in {(tag["key"], tag["value"]) for tag in child["tags"]} or any(
            tag["key"] == "otel.status_code" and tag["value"] == "ERROR" for tag in child["tags"])


def test_py_zipkin(make):
    collector = make()
    (sent,) = send_python(collector, "py-zipkin")
    answer = collector.get(f"/api/v2/trace/{sent['trace_id']}", "zipkin")
    assert answer.status == 200, answer
    root = next(span for span in answer.json() if span["id"] == sent["span_id"])
    assert root["name"] == sent["name"] and root["localEndpoint"]["serviceName"] == sent["service"]
    assert root["tags"]["key"] == "value" and {"timestamp": 1_700_000_000_250_000, "value": "mark"} in root["annotations"]
    assert len(answer.json()) == 2
