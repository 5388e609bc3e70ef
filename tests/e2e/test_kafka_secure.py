"""Kafka over TLS and SASL, out and in, against a real broker that asks for it: what is right works; a wrong password, authority, name or certificate
is said in the log, loses nothing, and goes on where it stopped once it is mended."""

import json
import re

import pytest
from broker import JARS, Broker
from certs import Authority
from harness import Collector, assert_balanced, free_ports, run_command, until
from otlp import canonical, request_of, singles
from test_exporters import sent

if not list(JARS.glob("kafka-clients-*.jar")):
    pytest.skip(f"no broker: Apache Kafka is not in {JARS} (MGTEST_KAFKA)", allow_module_level=True)
from test_kafka import consuming, dump, exporting, new_topic  # noqa: E402

USER, PASSWORD, WRONG = "mesh", "correct-horse", "wrong-battery"
PROTOCOLS = ("SSL", "SASL_PLAINTEXT", "SASL_SSL")


class SecureBroker(Broker):
    """The broker with three more listeners: TLS for clients that show a certificate, SASL PLAIN without TLS, SCRAM-SHA-512 over TLS."""

    def __init__(self, folder, authority):
        super().__init__(folder)
        self.authority, self.ports = authority, {}
        cert, key = authority.issue("broker", "IP:127.0.0.1")
        self.identity = authority.folder / "broker-identity.pem"
        self.identity.write_text(key.read_text() + cert.read_text())

    def _configure(self):
        path = super()._configure()
        self.ports = dict(zip(PROTOCOLS, free_ports(len(PROTOCOLS)), strict=True))
        before = dict(line.split("=", 1) for line in path.read_text().splitlines())
        more = "".join(f",{name}://127.0.0.1:{port}" for name, port in self.ports.items())
        login = "org.apache.kafka.common.security.{0}Module required"
        properties = {
            "listeners": before["listeners"] + more, "advertised.listeners": before["advertised.listeners"] + more,
            "listener.security.protocol.map": ",".join(f"{name}:{name}" for name in ("PLAINTEXT", *PROTOCOLS)) + ",CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "ssl.keystore.type": "PEM", "ssl.keystore.location": self.identity, "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self.authority.cert, "listener.name.ssl.ssl.client.auth": "required",
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
            "listener.name.sasl_plaintext.sasl.enabled.mechanisms": "PLAIN", "listener.name.sasl_ssl.sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.sasl_plaintext.plain.sasl.jaas.config": login.format("plain.PlainLogin") + f' user_{USER}="{PASSWORD}";',
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": login.format("scram.ScramLogin") + ";",
        }
        with path.open("a") as file:  # a later line wins
            file.write("".join(f"{key}={value}\n" for key, value in properties.items()))
        return path

    def java(self, main, *arguments):
        if main.endswith("StorageTool"):
            arguments += ("--add-scram", f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]")
        return super().java(main, *arguments)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def broker(tmp_path_factory, authority):
    with SecureBroker(tmp_path_factory.mktemp("kafka"), authority) as it:
        yield it


@pytest.fixture(scope="module")
def right(authority):
    """What each listener wants, as librdkafka's properties."""
    cert, key = authority.issue("client", "DNS:client.test")
    ca = {"ssl.ca.location": authority.cert}
    login = {"sasl.username": USER, "sasl.password": PASSWORD}
    return {"SSL": ca | {"security.protocol": "ssl", "ssl.certificate.location": cert, "ssl.key.location": key},
            "SASL_PLAINTEXT": login | {"security.protocol": "sasl_plaintext", "sasl.mechanism": "PLAIN"},
            "SASL_SSL": ca | login | {"security.protocol": "sasl_ssl", "sasl.mechanism": "SCRAM-SHA-512"}}


class Configured:
    """A collector whose properties of Kafka stand in a file, as secrets should."""

    def __init__(self, folder, section, rows):
        self.folder, self.section = folder, section
        self.folder.mkdir()
        self.collector = Collector(folder / "data", rows, config=folder / "meshglass.yaml")

    def start(self, properties, **rows):
        """Starts it, on the data it has, with these properties."""
        lines, tree = [f"{key}={value}" for key, value in properties.items()] + ["reconnect.backoff.max.ms=500"], {}
        inner = tree
        for name in self.section.split("."):
            inner[name] = inner = {}
        inner["properties"] = lines
        self.collector.config.write_text(json.dumps(tree))
        self.collector.sets |= {f"{self.section}.{key}": value for key, value in rows.items()}
        self.collector.start()
        return self.collector

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.collector.is_running():
            self.collector.__exit__(kind)


def send_all(collector, n=8):
    requests = [request_of(5, service="shop", attributes={"i": i}) for i in range(n)]
    for request in requests:
        assert collector.send(request.SerializeToString()).status == 200
    return requests


def assert_has(far, requests):
    """The far side has these spans and no others, each field as it was."""
    wanted = sorted(canonical(one) for request in requests for one in singles(request))
    until(lambda: far.ledger()["accepted"] >= len(wanted), 30, "the spans")
    assert_balanced(far.settle())
    far.stop()
    assert sorted(dump(far)) == wanted


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_out_and_in(tmp_path, broker, right, protocol):
    topic, address = new_topic(broker), f"127.0.0.1:{broker.ports[protocol]}"
    with Configured(tmp_path / "near", "exporters.kafka", exporting(broker, topic, brokers=address)) as out, \
            Configured(tmp_path / "far", "kafka", consuming(broker, topic, brokers=address)) as taker:
        near, far = out.start(right[protocol]), taker.start(right[protocol])
        assert_has(far, send_all(near))
        assert PASSWORD not in "".join(near.log) + "".join(far.log)
        assert PASSWORD not in run_command("config", "--config", near.config).stdout


# --- what is wrong ------------------------------------------------------------------------------------

SECRETS = (PASSWORD, WRONG)
WRONGS = {  # what is wrong: listener, host, the properties that are otherwise, what the log says, and the reason that is counted
    "password": ("SASL_PLAINTEXT", "127.0.0.1", {"sasl.password": WRONG}, "uthentication failed", "authentication"),
    "SCRAM password": ("SASL_SSL", "127.0.0.1", {"sasl.password": WRONG}, "uthentication failed", "authentication"),
    "mechanism": ("SASL_SSL", "127.0.0.1", {"sasl.mechanism": "PLAIN"}, "SCRAM-SHA-512", "authentication"),
    "authority": ("SASL_SSL", "127.0.0.1", {"ssl.ca.location": "stranger.pem"}, "certificate verify failed", "tls"),
    "host name": ("SASL_SSL", "localhost", {}, "certificate verify failed", "tls"),
    "client certificate": ("SSL", "127.0.0.1", {"ssl.certificate.location": "foreign.pem", "ssl.key.location": "foreign.key"}, "certificate", "transport"),
    "no client certificate": ("SSL", "127.0.0.1", {"ssl.certificate.location": None, "ssl.key.location": None}, "certificate", "transport"),
}


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    """An authority that the broker does not know, with a client certificate."""
    it = Authority(tmp_path_factory.mktemp("stranger"), "stranger")
    it.issue("foreign", "DNS:client.test")
    return it


def changed(properties, changes, stranger):
    """The properties with these changes; None leaves one out, files are the stranger's."""
    values = {key: stranger.folder / value if value and key.endswith(".location") else value for key, value in changes.items()}
    return {key: value for key, value in (properties | values).items() if value is not None}


@pytest.mark.parametrize("wrong", WRONGS)
def test_out_with_something_wrong(tmp_path, broker, right, stranger, wrong):
    """The batches wait, the reason is in the log and no password; when it is right after a restart everything is sent."""
    protocol, host, changes, words, _ = WRONGS[wrong]
    topic, port = new_topic(broker), broker.ports[protocol]
    with Configured(tmp_path / "near", "exporters.kafka", exporting(broker, topic, timeout="1s")) as out, \
            Configured(tmp_path / "far", "kafka", consuming(broker, topic)) as taker:
        near = out.start(changed(right[protocol], changes, stranger), brokers=f"{host}:{port}")
        requests = send_all(near)
        until(lambda: near.metric("meshglass_export_queue_batches", exporter="kafka") > 0, what="what waits")
        until(lambda: 'event="export fails: its batches wait" exporter=kafka' in near.log_text(), 30, "the failure")
        until(lambda: re.search(f'event="(kafka client|export fails: its batches wait)".*({words})', near.log_text()), 30, "the reason")
        assert near.metric("meshglass_export_spans_total", exporter="kafka") == 0
        assert_balanced(near.settle())  # the ring does not wait for a broker
        near.stop()
        assert not any(secret in "".join(near.log) for secret in SECRETS)
        near = out.start(right[protocol], brokers=f"127.0.0.1:{port}")
        assert_has(taker.start({}), requests)
        until(lambda: sent(near, "kafka") == 40, what="the acknowledgements")
        assert near.metric("meshglass_export_spans_total", exporter="kafka") == 40, "some were dropped"


def connection_errors(collector):
    """{reason: how often}, of those that were."""
    return {dict(labels)["reason"]: n for (name, labels), n in collector.metrics().items() if name == "meshglass_kafka_connection_errors_total" and n}


@pytest.mark.parametrize("wrong", WRONGS)
def test_in_with_something_wrong(tmp_path, broker, right, stranger, wrong):
    """No partition comes, the reason is in the log and is counted, and no password; when it is right after a restart everything is taken."""
    protocol, host, changes, words, reason = WRONGS[wrong]
    topic, port = new_topic(broker), broker.ports[protocol]
    with Configured(tmp_path / "near", "exporters.kafka", exporting(broker, topic)) as out, \
            Configured(tmp_path / "far", "kafka", consuming(broker, topic)) as taker:
        requests = send_all(out.start({}))
        until(lambda: sent(out.collector, "kafka") == 40, what="the spans at the broker")
        far = taker.start(changed(right[protocol], changes, stranger), brokers=f"{host}:{port}")
        until(lambda: re.search(f'event="kafka (consumer|client)".*({words})', far.log_text()), 30, "the reason")
        until(lambda: connection_errors(far).get(reason) and connection_errors(far).get("all_down"), 30, "the count of what was refused")
        assert {reason, "all_down"} <= set(connection_errors(far)) <= {reason, "all_down", "transport"}  # a broker may close before its alert is read
        assert far.metric("meshglass_kafka_partitions") == far.metric("meshglass_kafka_spans_total") == 0
        far.stop()
        assert not any(secret in "".join(far.log) for secret in SECRETS)
        far = taker.start(right[protocol], brokers=f"127.0.0.1:{port}")
        until(lambda: far.metric("meshglass_kafka_spans_total") == 40, 30, "what is taken")
        assert not connection_errors(far)
        assert_has(far, requests)


# --- certificates that are renewed --------------------------------------------------------------------

def test_renewed_certificates(tmp_path, broker, right, stranger, authority):
    """One that the broker refuses is exchanged while both run, and later one that is about to expire: nothing is lost, and nothing comes twice."""
    cert, key = tmp_path / "client.pem", tmp_path / "client.key"

    def put(pair):
        for path, source in zip((cert, key), pair, strict=True):
            (tmp_path / "made").write_bytes(source.read_bytes())
            (tmp_path / "made").rename(path)

    topic, address = new_topic(broker), f"127.0.0.1:{broker.ports['SSL']}"
    properties = right["SSL"] | {"ssl.certificate.location": cert, "ssl.key.location": key}
    put((stranger.folder / "foreign.pem", stranger.folder / "foreign.key"))
    with Configured(tmp_path / "near", "exporters.kafka", exporting(broker, topic, brokers=address)) as out, \
            Configured(tmp_path / "far", "kafka", consuming(broker, topic, brokers=address)) as taker:
        near, far = out.start(properties), taker.start(properties)
        requests = send_all(near)
        until(lambda: connection_errors(far).get("transport"), 30, "the refusal")
        put((right["SSL"]["ssl.certificate.location"], right["SSL"]["ssl.key.location"]))
        until(lambda: far.metric("meshglass_kafka_spans_total") == 40, 60, "what waited")
        taken = far.log_text().count("the group is joined anew")
        put(authority.issue("renewed", "DNS:client.test", days=1))
        until(lambda: far.log_text().count("the group is joined anew") > taken, 30, "the exchange")
        requests += send_all(near)
        until(lambda: far.metric("meshglass_kafka_spans_total") >= 80, 60, "the rest")
        assert far.metric("meshglass_kafka_spans_total") == 80
        assert_has(far, requests)
