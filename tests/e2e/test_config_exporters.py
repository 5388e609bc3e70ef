"""What all exporters have in common, tried for each of them: with values that differ, so that a row that is wired to a neighbour's place is
seen. A peer that never answers keeps every batch in its queue, where the metrics tell what became of it."""

import signal
import socket
import ssl

import pytest
from certs import Authority
from harness import free_ports, run_command, until
from otlp import new_id, request_of, set_attributes, spans_of
from rows import row
from test_config import configured, reload, send
from test_exporters import Elasticsearch, Receiver, sent

HTTP = ("otlp", "zipkin", "elasticsearch")
ALL = (*HTTP, "kafka")
HALVES = pytest.mark.parametrize("some", [("otlp", "kafka"), ("zipkin", "elasticsearch")], ids="-".join)


def exporting(url, kinds=ALL, **rows):
    """Settings of these exporters; a row's value is for all of them, or a dict of one for each."""
    sets = {"exporters.otlp.protocol": "http"} | {f"exporters.{kind}.endpoint": url for kind in kinds if kind != "kafka"}
    if "kafka" in kinds:
        sets["exporters.kafka.brokers"] = url.removeprefix("http://")
    for key, value in rows.items():
        sets |= {f"exporters.{kind}.{key}": value[kind] if isinstance(value, dict) else value for kind in kinds}
    return sets


def either(some, this, that):
    """A row's values: this for some exporters, that for the others."""
    return {kind: this if kind in some else that for kind in ALL}


@pytest.fixture
def silent():
    """Takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        yield "http://127.0.0.1:%d" % listener.getsockname()[1]


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def server(authority):
    return authority.issue("server", "DNS:localhost,IP:127.0.0.1")


@pytest.fixture(scope="module")
def agent(authority):
    return authority.issue("agent", "DNS:agent.shop.example")


def attempts(collector, kind):
    return collector.metric("meshglass_export_send_seconds_count", exporter=kind)


def queued(collector, kind):
    return collector.metric("meshglass_export_queue_batches", exporter=kind)


def of_each(function, collector):
    return {kind: function(collector, kind) for kind in ALL}


@row("exporters.{otlp,zipkin,elasticsearch,kafka}.batch_spans")
def test_batch_spans(make, silent):
    collector = make(exporting(silent, batch_spans={"otlp": 1, "zipkin": 2, "elasticsearch": 5, "kafka": 10}))
    send(collector, 10)
    until(lambda: of_each(queued, collector) == {"otlp": 10, "zipkin": 5, "elasticsearch": 2, "kafka": 1}, what="the batches")


@row("exporters.{otlp,zipkin,elasticsearch,kafka}.batch_wait")
@HALVES
def test_batch_wait(make, silent, some):
    collector = make(exporting(silent, batch_wait=either(some, "0", "1m")))
    send(collector)
    until(lambda: of_each(queued, collector) == either(some, 1, 0), what="a batch that does not wait")
    assert collector.metric("meshglass_forward_waiting_batches") > 0


@row("exporters.{otlp,zipkin,elasticsearch,kafka}.{in_flight,timeout}")
def test_in_flight_and_timeout(make, silent):
    """All that are sent at a time get no answer, one after the first failure may be begun, and then the long wait for a retry holds
    everything back: the attempts tell how many were sent at a time."""
    waits = {"otlp": 300, "zipkin": 800, "elasticsearch": 1300, "kafka": 2500}  # milliseconds, in rising order
    most = {"otlp": 6, "zipkin": 8, "elasticsearch": 10, "kafka": 12}
    collector = make(exporting(silent, batch_spans=1, retry_initial="1h", retry_max="1h", in_flight=most,
                               timeout={kind: f"{wait}ms" for kind, wait in waits.items()}))
    send(collector, 20)
    until(lambda: all(attempts(collector, kind) >= n for kind, n in most.items()), what="the attempts")
    seen = of_each(attempts, collector)
    assert all(seen[kind] <= n + 1 for kind, n in most.items()), seen
    took = [collector.metric("meshglass_export_send_seconds_sum", exporter=kind) / seen[kind] for kind in waits]
    assert took == sorted(took) and all(seconds > wait / 1000 - 0.01 for seconds, wait in zip(took, waits.values(), strict=True)), took


@row("exporters.{otlp,zipkin,elasticsearch,kafka}.{retry_initial,retry_max}")
@HALVES
@pytest.mark.parametrize("key", ["retry_initial", "retry_max"])
def test_retry_waits(make, silent, some, key):
    rows = {"retry_initial": "1h", "retry_max": "1h"} | {key: either(some, "1ms", "1h")}
    collector = make(exporting(silent, timeout="10ms", **rows))
    send(collector)
    until(lambda: all(attempts(collector, kind) >= (2 if kind in some else 1) for kind in ALL), what="the retries")
    assert all(attempts(collector, kind) == 1 for kind in ALL if kind not in some)


@row("exporters.{otlp,zipkin,elasticsearch,kafka}.retry_for")
@HALVES
def test_retry_for(make, silent, some):
    collector = make(exporting(silent, timeout="10ms", retry_initial="1ms", retry_for=either(some, "50ms", "0")))
    send(collector)
    until(lambda: all(attempts(collector, kind) >= 2 or sent(collector, kind, "too_old") for kind in ALL), what="the retries")
    until(lambda: of_each(queued, collector) == either(some, 0, 1), what="the end of what is too old")
    assert {kind: sent(collector, kind, "too_old") for kind in ALL} == either(some, 5, 0)


@row("exporters.{otlp,zipkin,elasticsearch,kafka}.queue_bytes")
@HALVES
def test_queue_bytes(make, silent, some):
    collector = make(exporting(silent, queue_bytes=either(some, "1MiB", "1GiB")))
    for _ in range(60):
        request = request_of(200)
        for span in spans_of(request):
            set_attributes({"pad": new_id(200).hex()}, span.attributes)
        assert collector.send(request.SerializeToString()).status == 200
    collector.settle()
    until(lambda: all(sent(collector, kind, "queue_full") for kind in some), what="what is dropped")
    assert not any(sent(collector, kind, "queue_full") for kind in ALL if kind not in some)


@row("exporters.{otlp,zipkin,elasticsearch,kafka}.take")
def test_take(make, silent, tmp_path):
    """Sampling keeps everything, so what differs is where a span is counted. Which spans are taken: kept_and_everything_get_what_they_take
    in tests/unit/forward/forward_test.c."""
    collector = make(exporting(silent), config=configured(tmp_path / "take.yaml", {}))
    for kind in ALL:
        reload(collector, {"exporters": {kind: {"take": "everything"}}})
        before = {take: collector.metric("meshglass_forward_spans_total", take=take) for take in ("everything", "kept")}
        send(collector, 5)
        until(lambda: collector.metric("meshglass_forward_spans_total") == sum(before.values()) + 20, what="the spans")
        assert collector.metric("meshglass_forward_spans_total", take="everything") == before["everything"] + 5, kind


@row("exporters.kafka.properties")
@pytest.mark.parametrize("some", ["message.max.bytes=2000", None])
def test_kafka_properties(make, silent, some):
    """A span that is larger than a message may be is refused before any broker is asked."""
    collector = make(exporting(silent, ["kafka"]) | ({"exporters.kafka.properties": some} if some else {}))
    send(collector, 5, attributes={"text": "x" * 3000})
    until(lambda: sent(collector, "kafka", "refused") == 5 if some else queued(collector, "kafka") == 1, what="what becomes of the spans")


def answers(there):
    return lambda path, headers, body: (200, {}, b"") if path in ("/v1/traces", "/api/v2/spans") else there.answer(path, headers, body)


def kind_of(path):
    return {"/v1/traces": "otlp", "/api/v2/spans": "zipkin"}.get(path, "elasticsearch")


@row("exporters.{otlp,zipkin,elasticsearch}.{endpoint,headers}", "exporters.elasticsearch.templates")
@pytest.mark.parametrize("has_templates", [True, False])
def test_endpoint_headers_and_templates(make, has_templates):
    there = Elasticsearch()
    with Receiver(answers(there)) as peer:
        collector = make(exporting(peer.url, HTTP, headers={kind: f"X-Kind: {kind}" for kind in HTTP}) |
                         {"exporters.elasticsearch.templates": str(has_templates).lower()})
        send(collector)
        until(lambda: all(sent(collector, kind) == 5 for kind in HTTP))
        assert {(kind_of(path), headers["x-kind"]) for _, path, headers, _ in peer.got} == {(kind, kind) for kind in HTTP}
        assert bool(there.templates) == has_templates


@row("exporters.otlp.compression")
def test_compression(make):
    with Receiver(lambda *_: (200, {}, b"")) as peer:
        for value in ("gzip", "zstd", "none"):
            send(make(exporting(peer.url, ["otlp"], compression=value), name=value))
        until(lambda: len(peer.got) == 3)
        assert {headers.get("content-encoding", "none") for _, _, headers, _ in peer.got} == {"gzip", "zstd", "none"}


@row("exporters.zipkin.compression")
def test_zipkin_compression(make):
    with Receiver(lambda *_: (202, {}, b"")) as peer:
        for value in ("gzip", "none"):
            send(make(exporting(peer.url, ["zipkin"], compression=value), name=value))
        until(lambda: len(peer.got) == 2)
        assert {headers.get("content-encoding", "none") for _, _, headers, _ in peer.got} == {"gzip", "none"}


@row("exporters.elasticsearch.compression")
def test_elasticsearch_compression(make):
    there = Elasticsearch()
    with Receiver(there.answer) as peer:
        for value in ("gzip", "none"):
            collector = make(exporting(peer.url, ["elasticsearch"], compression=value), name=value)
            send(collector)
            until(lambda: sent(collector, "elasticsearch") == 5)
        assert {headers.get("content-encoding", "none") for _, path, headers, _ in peer.got if path.startswith("/_bulk")} == {"gzip", "none"}


def over_tls(receiver, certificate, client_ca=None):
    """The receiver's doors from now on; https URL."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(*certificate)
    if client_ca:
        made.load_verify_locations(client_ca)
        made.verify_mode = ssl.CERT_REQUIRED
    receiver.server.socket = made.wrap_socket(receiver.server.socket, server_side=True)
    return receiver.url.replace("http:", "https:")


def outcomes(collector):
    """Of 5 spans, once each exporter has tried: who got them through."""
    send(collector)
    until(lambda: all(sent(collector, kind) == 5 or attempts(collector, kind) >= 2 for kind in HTTP), what="an outcome")
    return {kind for kind in HTTP if sent(collector, kind)}


@row("exporters.{otlp,zipkin,elasticsearch}.{ca,insecure}")
@pytest.mark.parametrize("turn", range(3))
def test_trust(make, authority, server, turn):
    """One exporter knows the authority, one asks for none, and the third is right to refuse."""
    trusting, blind, _ = HTTP[turn:] + HTTP[:turn]
    with Receiver(answers(Elasticsearch())) as peer:
        collector = make(exporting(over_tls(peer, server), HTTP, retry_initial="1ms") |
                         {f"exporters.{trusting}.ca": authority.cert, f"exporters.{blind}.insecure": "true"})
        assert outcomes(collector) == {trusting, blind}
        until(lambda: f"exporters.{blind}" in collector.log_text(), what="the warning")


@row("exporters.{otlp,zipkin,elasticsearch}.{cert,key}")
@pytest.mark.parametrize("kind", HTTP)
def test_own_certificate(make, authority, server, agent, kind, tmp_path):
    rows = {f"exporters.{kind}.cert": agent[0], f"exporters.{kind}.key": agent[1]}
    with Receiver(answers(Elasticsearch())) as peer:
        url = over_tls(peer, server, authority.cert)
        collector = make(exporting(url, HTTP, retry_initial="1ms", ca=authority.cert) | rows)
        assert outcomes(collector) == {kind}
    sets = exporting(url, [kind], ca=authority.cert) | rows | {f"exporters.{kind}.key": server[1], "data_dir": tmp_path / "wrong"}
    done = run_command("run", *(word for key, value in sets.items() for word in ("--set", f"{key}={value}")))
    assert done.returncode == 1 and f"exporters.{kind}.cert" in done.stderr, done.stderr


# --- where they point ---------------------------------------------------------------------------------

NAMING_SERVERS = [f"exporters.{kind}.endpoint" for kind in HTTP] + ["exporters.kafka.brokers", "kafka.brokers", "cors.origins", "listen.otlp_http"]


def words_of(sets):
    return [word for key, value in sets.items() for word in ("--set", f"{key}={value}")]


@pytest.mark.parametrize("text", ["ann:hush@host:1", "hush@host:1", "http:/ann:hush@host:1", "//ann:hush@host", "http://ann:hush@host:1"])
@pytest.mark.parametrize("key", NAMING_SERVERS)
def test_passwords_are_never_told(tmp_path, key, text):
    """A URL keeps its password to itself, and what should have been one as well: nothing is told but the row and what is wrong."""
    is_fine = key.endswith(".endpoint") and "://" in text
    file = configured(tmp_path / "meshglass.yaml", {key: text})
    sets = {"data_dir": tmp_path / "data", "listen.health": "127.0.0.1:0", key: text}
    for done in [run_command("config", "--set", f"{key}={text}"), run_command("config", env={"MESHGLASS_" + key.upper().replace(".", "__"): text}),
                 run_command("check", file)] + ([] if is_fine else [run_command("run", *words_of(sets))]):
        said = done.stdout + done.stderr
        assert "hush" not in said and "ann:" not in said, said
        if is_fine:
            assert done.returncode == 0 and (f'# {key}: "http://***@host:1" (password not shown)' in said or "fine" in said), said
        else:
            assert done.returncode in (1, 2) and f"{key}" in done.stderr, said
            assert "host:port" in said or "://host" in said, said


@pytest.mark.parametrize("query", ["?token=hush", "#hush"])
@pytest.mark.parametrize("kind", HTTP)
def test_a_query_is_refused_and_never_told(tmp_path, kind, query):
    """It would not be sent, and is where others have their tokens."""
    key, text = f"exporters.{kind}.endpoint", f"http://host:1/p{query}"
    file = configured(tmp_path / "meshglass.yaml", {key: text})
    sets = {"data_dir": tmp_path / "data", "listen.health": "127.0.0.1:0", key: text}
    for done in [run_command("config", "--set", f"{key}={text}"), run_command("check", file), run_command("run", *words_of(sets))]:
        assert done.returncode in (1, 2) and key in done.stderr and "exporters.*.headers" in done.stderr, done.stderr
        assert "hush" not in done.stdout + done.stderr


@pytest.mark.parametrize("kind, path", [("otlp", ""), ("zipkin", "/api/v2/spans")])
def test_no_exporter_sends_to_its_own_collector(make, tmp_path, kind, path):
    """Not at a start, not in `check`, and not by a reload; to the door beside it there is nothing to say."""
    door = {"otlp": "otlp_http", "zipkin": "zipkin"}[kind]
    port, beside = free_ports(2)
    rows = {"exporters": {kind: {"endpoint": f"http://localhost:{port}{path}"}}}
    wants = f"exporters.{kind}.endpoint: http://localhost:{port}{path} is this collector's own door listen.{door}: its spans would go round for ever"
    own = configured(tmp_path / "own.yaml", rows | {"listen": {door: f"127.0.0.1:{port}"}})
    checked, started = run_command("check", own), run_command("run", "--config", own, *words_of({"data_dir": tmp_path / "none"}))
    assert checked.returncode == 1 and wants in checked.stderr, checked.stderr
    assert started.returncode == 2 and wants in started.stderr and not (tmp_path / "none").exists(), started.stderr
    assert run_command("check", configured(tmp_path / "other.yaml", rows | {"listen": {door: f"127.0.0.1:{beside}"}})).returncode == 0

    collector = make({f"listen.{door}": f"127.0.0.1:{port}"}, config=configured(tmp_path / "meshglass.yaml", {}))
    configured(collector.config, rows)
    collector.process.send_signal(signal.SIGHUP)
    until(lambda: "reload refused, nothing changed" in collector.log_text() and wants in collector.log_text(), what="the refusal")
    reload(collector, {"exporters": {kind: {"endpoint": f"http://localhost:{beside}"}}})
    send(collector)
