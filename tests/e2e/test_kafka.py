"""Kafka in and out against a real broker: what a foreign client produces arrives in every encoding, and nothing is lost while the collector, the
broker or a member of the group is killed in the middle. The rows of configuration are tried in test_config_kafka.py."""

import base64
import json
import os
import random
import threading
import time

import pytest
from broker import JARS, Broker
from harness import QUICK, SLOW, Collector, assert_balanced, run_command, until
from otlp import ExportTraceServiceRequest, canonical, from_json, new_id, request_of, singles, span_of, spans_of
from same_trace import QUERIES, TRACE, assert_equal, dumped, encoded, read, same_trace, wanted

if not list(JARS.glob("kafka-clients-*.jar")):
    pytest.skip(f"no broker: Apache Kafka is not in {JARS} (MGTEST_KAFKA)", allow_module_level=True)
from kafka import KafkaConsumer, KafkaProducer  # noqa: E402
from kafka.admin import KafkaAdminClient, NewTopic  # noqa: E402

PARTITIONS = 4


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with Broker(tmp_path_factory.mktemp("kafka")) as it:
        yield it


def new_topic(broker, partitions=PARTITIONS, **configs):
    """A topic of the test's own, which is there when this returns."""
    name = f"spans-{new_id(4).hex()}"
    admin = KafkaAdminClient(bootstrap_servers=broker.address)
    admin.create_topics([NewTopic(name, partitions, 1, topic_configs={key.replace("_", "."): value for key, value in configs.items()})])
    admin.close()
    return name


@pytest.fixture
def start(make, tmp_path):
    """make, with properties by which a group misses a dead member soon."""
    path = tmp_path / "quick.yaml"
    path.write_text(json.dumps({"kafka": {"properties": ["session.timeout.ms=2500", "heartbeat.interval.ms=500"]}}))
    return lambda sets, name="data": make(sets, name, config=path)


def consuming(broker, topic, group="test", **rows):
    rows = {"brokers": broker.address, "topics": topic, "group": group} | rows
    return {f"kafka.{key}": value for key, value in rows.items()}


def exporting(broker, topic, **rows):
    rows = {"brokers": broker.address, "topic": topic, "batch_wait": "20ms", "retry_initial": "50ms", "retry_max": "500ms"} | rows
    return {f"exporters.kafka.{key}": value for key, value in rows.items()}


def dump(collector):
    done = run_command("store", "dump", collector.data_dir)
    assert done.returncode == 0, done.stderr
    return [canonical(from_json(line)) for line in done.stdout.splitlines()]


def messages_of(broker, topic, n):
    consumer = KafkaConsumer(topic, bootstrap_servers=broker.address, auto_offset_reset="earliest", consumer_timeout_ms=20_000 * SLOW)
    got = [message for _, message in zip(range(n), consumer)]
    consumer.close()
    assert len(got) == n
    return got


class Load:
    """Produces keyed traces from a thread until stop(); `acked` has what the broker acknowledged."""

    def __init__(self, broker, topic, spans=5, pause=0.005):
        self.acked, self.sent, self.spans, self.pause, self.end = {}, 0, spans, pause, threading.Event()
        self.producer = KafkaProducer(bootstrap_servers=broker.address, acks="all", retries=1000, request_timeout_ms=2000,
                                      reconnect_backoff_max_ms=500, compression_type="gzip")
        self.topic, self.thread = topic, threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.end.wait(self.pause):
            self.send()

    def send(self):
        request = request_of(self.spans, service="producer")
        trace_id = next(spans_of(request)).trace_id.hex()
        ids = {span.span_id.hex() for span in spans_of(request)}
        self.sent += self.spans
        future = self.producer.send(self.topic, request.SerializeToString(), key=trace_id.encode())
        future.add_callback(lambda _: self.acked.__setitem__(trace_id, ids))

    def stop(self):
        self.end.set()
        self.thread.join()
        self.producer.flush(60 * SLOW)
        self.producer.close()
        return self.acked


def spans_by_api(collector, traces):
    """{trace: list of span ids} by the Jaeger API; traces that are not there are left out."""
    found = {}
    with collector.connect("query_http") as connection:
        for trace_id in traces:
            answer = connection.request("GET", f"/api/traces/{trace_id}?raw=true")
            if answer.status == 200:
                found[trace_id] = [span["spanID"] for span in answer.json()["data"][0]["spans"]]
    return found


def until_found(collectors, acked, seconds=60):
    """Waits until these collectors together have every span; [{trace: list of span ids}] of each. Asks again only for what is missing."""
    found = [{} for _ in collectors]

    def missing():
        return [t for t, ids in acked.items() if ids - {span for mine in found for span in mine.get(t, ())}]

    def is_complete():
        wanted = missing()
        for collector, mine in zip(collectors, found, strict=True):
            mine.update(spans_by_api(collector, wanted))
        return not missing()
    try:
        until(is_complete, seconds)
    except AssertionError:
        raise AssertionError(f"{len(missing())} of {len(acked)} acknowledged traces are lost") from None
    return found


def assert_none_twice(found):
    assert not [trace for trace, ids in found.items() if len(ids) != len(set(ids))], "a span is shown twice"


# --- encodings ----------------------------------------------------------------------------------------

# encoding, the client whose encoder made the messages, compression of the topic's batches
ENCODED = [("otlp_proto", "otlp-http", None), ("otlp_json", "otlp-json", "gzip"), ("jaeger_proto", "jaeger-grpc", None),
           ("zipkin_json", "zipkin", "gzip"), ("zipkin_json", "zipkin-json", None)]


@pytest.mark.parametrize("encoding, client, compression", ENCODED, ids=[f"{one[0]}-{one[1]}" for one in ENCODED])
def test_encodings(start, broker, encoding, client, compression):
    """What others have encoded comes back through every query door as if it had come by that client's own door."""
    topic, trace = new_topic(broker), same_trace()
    messages = encoded(client, trace)
    producer = KafkaProducer(bootstrap_servers=broker.address, compression_type=compression)
    producer.send(topic, None, key=b"tombstone")
    for value in messages:
        producer.send(topic, value, key=TRACE.encode())
    producer.close()
    collector = start(consuming(broker, topic, encoding=encoding))
    until(lambda: collector.metric("meshglass_kafka_spans_total") == len(trace), what="the spans")
    for query in QUERIES:
        assert_equal(read(collector, query), wanted(trace, client, query), query)
    until(lambda: collector.metric("meshglass_kafka_messages_total", outcome="empty") == 1, what="the tombstone")
    assert collector.metric("meshglass_kafka_messages_total", outcome="taken") == len(messages)
    until(lambda: collector.metric("meshglass_kafka_commits_total", outcome="ok"), what="a commit")
    assert collector.metric("meshglass_kafka_lag_messages") == 0
    collector.settle()
    collector.stop()
    assert_equal(dumped(collector), wanted(trace, client, "dump"), "store dump")


# --- kills --------------------------------------------------------------------------------------------

@pytest.mark.core
def test_collector_killed(start, broker):
    """kill -9 three times under load: every span that Kafka acknowledged is stored; what came twice is shown once and counted."""
    seed = int(os.environ.get("MGTEST_KILL_SEED", random.SystemRandom().randrange(2**31)))
    chance = random.Random(seed)
    print(f"seed {seed} (MGTEST_KILL_SEED)")
    topic = new_topic(broker)
    load = Load(broker, topic)
    collector = start(consuming(broker, topic))
    for _ in range(3):
        until(lambda: collector.metric("meshglass_kafka_spans_total") > 0, 30, "spans")
        threading.Event().wait(chance.uniform(0, 1.5))  # a random moment, not a barrier
        collector.kill()
        collector = collector.again().start()
    acked = load.stop()
    assert_none_twice(until_found([collector], acked)[0])
    ledger = collector.settle()
    assert_balanced(ledger)
    collector.stop()
    stored = [span_of(ExportTraceServiceRequest.FromString(one)).span_id.hex() for one in dump(collector)]
    assert set(stored) == {span for ids in acked.values() for span in ids}
    assert len(stored) == ledger["stored"] and load.sent <= ledger["accepted"]
    print(f"{ledger['accepted'] - load.sent} spans came again: {ledger['duplicate']} counted duplicate, {len(stored) - len(set(stored))} in later fragments")


def test_broker_killed(start, tmp_path, is_long):
    """kill -9 of the broker under load; it comes back on its data, and everything goes on."""
    if not is_long:
        pytest.skip("the broker takes half a minute to come back: in `tests/run all`")
    with Broker(tmp_path / "kafka") as broker:
        topic = new_topic(broker)
        load = Load(broker, topic)
        collector = start(consuming(broker, topic))
        until(lambda: collector.metric("meshglass_kafka_spans_total") > 100, 30, "spans")
        broker.kill()
        broker.start()
        before = len(load.acked)
        until(lambda: len(load.acked) > before + 100, 30, "the producer to go on")
        acked = load.stop()
        assert_none_twice(until_found([collector], acked)[0])
        assert_balanced(collector.settle())
        broker.kill()
        collector.stop()  # without a broker, too


def test_members_come_and_go(start, broker):
    """Two collectors share the partitions: a trace, being keyed, is in one of them. One joins, one is killed; nothing is lost."""
    topic = new_topic(broker)
    load = Load(broker, topic)
    first = start(consuming(broker, topic), name="first")
    until(lambda: first.metric("meshglass_kafka_partitions") == PARTITIONS, 30, "the partitions")
    second = start(consuming(broker, topic), name="second")

    def shares():
        return [c.metric("meshglass_kafka_partitions") for c in (first, second)]
    until(lambda: shares() == [PARTITIONS / 2] * 2, 30, "the shares")
    early = set(load.acked)
    until(lambda: len(load.acked) > len(early) + 200, 30, "more traces")
    acked = load.stop()
    until_found((first, second), acked)
    found = [spans_by_api(c, acked) for c in (first, second)]
    both = set(found[0]) & set(found[1])
    assert not both - early, "a trace is in two collectors although nothing moved"
    assert all(len(mine.keys() - early) > 20 for mine in found), "a member had nothing to do"
    print(f"{len(both)} of {len(acked)} traces came twice while partitions moved")

    again = Load(broker, topic)
    until(lambda: len(again.acked) > 100, 30, "traces")
    second.kill()
    until(lambda: first.metric("meshglass_kafka_partitions") == PARTITIONS, 60, "the dead member's partitions")
    late = again.stop()
    second = second.again(**{"kafka.brokers": None}).start()  # what it had stored before it died
    until_found((first, second), late)
    first.stop()
    second.stop()


# --- what can never be taken --------------------------------------------------------------------------

@pytest.mark.parametrize("place", ["topic", "file"])
def test_poison(start, broker, tmp_path, place):
    topic, dead, path = new_topic(broker, 1), new_topic(broker, 1), tmp_path / "dead.jsonl"
    good = request_of(3)
    producer = KafkaProducer(bootstrap_servers=broker.address)
    producer.send(topic, b"\xff not spans", key=b"\x00key", headers=[("trace", b"yes")])
    producer.send(topic, good.SerializeToString())
    producer.close()
    collector = start(consuming(broker, topic, **{f"dead_letter_{place}": dead if place == "topic" else path}))
    until(lambda: collector.metric("meshglass_kafka_dead_letters_total", to=place) == 1, what="the dead letter")
    until(lambda: collector.metric("meshglass_kafka_spans_total") == 3, what="the spans behind it")
    collector.stop()
    if place == "topic":
        (letter,) = messages_of(broker, dead, 1)
        headers = dict(letter.headers)
        assert (letter.key, letter.value, headers["trace"]) == (b"\x00key", b"\xff not spans", b"yes")
        assert (headers["meshglass.topic"], headers["meshglass.partition"], headers["meshglass.offset"]) == (topic.encode(), b"0", b"0")
        assert headers["meshglass.error"]
    else:
        (letter,) = map(json.loads, path.read_text().splitlines())
        assert (letter["topic"], letter["partition"], letter["offset"]) == (topic, 0, 0) and letter["error"]
        assert base64.b64decode(letter["value"]) == b"\xff not spans" and base64.b64decode(letter["key"]) == b"\x00key"
        assert abs(letter["timestamp"] / 1000 - time.time()) < 600
    collector = collector.again().start()  # it was committed: nothing comes again
    until(lambda: collector.metric("meshglass_kafka_partitions") == 1, 30, "the partition")
    assert collector.metric("meshglass_kafka_messages_total") == 0
    collector.stop()


# --- exporter -----------------------------------------------------------------------------------------

def test_export_and_back(start, broker):
    """Collector, Kafka, collector: the same spans, one message a trace, keyed by its id."""
    topic = new_topic(broker, message_timestamp_type="LogAppendTime")
    near = start(exporting(broker, topic, compression="zstd"), name="near")
    far = start(consuming(broker, topic), name="far")
    traces = [request_of(7, service=f"s{i % 3}", attributes={"list": [1, "x"], "bytes": b"\0\1", "i": i}) for i in range(40)]
    for request in traces:
        assert near.send(request.SerializeToString()).status == 200
    until(lambda: far.ledger()["accepted"] == 280, 30, "the spans")
    far.settle()
    near.settle()
    near.stop()
    far.stop()
    wanted = sorted(canonical(one) for request in traces for one in singles(request))
    assert sorted(dump(far)) == wanted == sorted(dump(near))
    partitions = {}
    for message in messages_of(broker, topic, 40):
        spans = list(spans_of(ExportTraceServiceRequest.FromString(message.value)))
        assert {span.trace_id.hex() for span in spans} == {message.key.decode()} and len(spans) == 7
        partitions.setdefault(message.partition, []).append(message.key)
    assert len(partitions) == PARTITIONS


def test_export_while_the_broker_is_away(start, tmp_path, is_long):
    """Down before anything is sent, killed in the middle: in the end every span is there, and a stop is quick all the while."""
    if not is_long:
        pytest.skip("the broker takes half a minute to come back: in `tests/run all`")
    with Broker(tmp_path / "kafka") as broker:
        topic = new_topic(broker)
        broker.kill()
        near = start(exporting(broker, topic, timeout="2s"), name="near")
        traces = [request_of(5) for _ in range(20)]
        for request in traces:
            assert near.send(request.SerializeToString()).status == 200
        until(lambda: near.metric("meshglass_export_queue_batches", exporter="kafka") > 0, what="the queue")
        near.stop()
        near = near.again().start()
        broker.start()
        until(lambda: near.metric("meshglass_export_spans_total", exporter="kafka", outcome="sent") >= 100, 60, "the first half")
        more = [request_of(5) for _ in range(100)]
        for i, request in enumerate(more):
            assert near.send(request.SerializeToString()).status == 200
            if i == 50:
                broker.kill()
        broker.start()
        until(lambda: near.metric("meshglass_export_queue_batches", exporter="kafka") == 0, 60, "an empty queue")
        far = start(consuming(broker, topic), name="far")
        wanted = {next(spans_of(request)).trace_id.hex(): {s.span_id.hex() for s in spans_of(request)} for request in traces + more}
        assert_none_twice(until_found([far], wanted)[0])
        near.stop()
        far.stop()


# --- settings -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("sets, said", [
    ({"kafka.brokers": "127.0.0.1:1", "kafka.properties": "sasl.pasword=hunter2"}, "kafka.properties 1: 'sasl.pasword'"),
    ({"kafka.brokers": "127.0.0.1:1", "kafka.properties": "security.protocol=hunter2"}, "kafka.properties 1: librdkafka does not take"),
    ({"kafka.brokers": "127.0.0.1:1", "kafka.properties": "group.id=x"}, "kafka.properties 1: 'group.id' is not set here"),
    ({"kafka.brokers": "127.0.0.1"}, "kafka.brokers 1: must be host:port"),
    ({"exporters.kafka.brokers": "127.0.0.1:1", "exporters.kafka.properties": "acks=1"}, "exporters.kafka.properties 1: 'acks' is not set here"),
    ({"exporters.kafka.brokers": "127.0.0.1:1", "exporters.kafka.properties": "ssl.ca.location=/nowhere/ca.pem"}, None),
    ({"exporters.kafka.brokers": "127.0.0.1:1", "exporters.kafka.topic": "a b"}, "exporters.kafka.topic: 'a b'"),
])
def test_wrong_settings(tmp_path, sets, said):
    if said is None:  # read only when it is used
        sets, said = sets | {"exporters.kafka.properties": "security.protocol=ssl"}, None
    collector = Collector(tmp_path / "data", sets)
    collector.start(wait=False)
    if said is None:
        collector.wait_ready()
        collector.stop()
        return
    assert collector.wait_exit(20 * SLOW) == 2
    assert said in collector.log_text() and "hunter2" not in collector.log_text()


def test_secrets_and_a_broker_that_says_no(tmp_path, broker):
    """SASL towards a broker without it: no start is refused, nothing goes, no password is logged, and the stop is quick."""
    config = tmp_path / "meshglass.yaml"
    properties = ["security.protocol=sasl_plaintext", "sasl.mechanism=SCRAM-SHA-256", "sasl.username=me", "sasl.password=hunter2"]
    config.write_text(json.dumps({"kafka": {"brokers": broker.address, "properties": properties},
                                  "exporters": {"kafka": {"brokers": broker.address, "topic": "out", "properties": properties, "timeout": "1s"}}}))
    collector = Collector(tmp_path / "data", QUICK, config=config).start()
    assert collector.send(request_of(3).SerializeToString()).status == 200
    until(lambda: collector.metric("meshglass_export_retries_total", exporter="kafka") > 0, 30, "a retry")
    begun = time.monotonic()
    collector.stop()
    assert time.monotonic() - begun < 5 * SLOW
    assert "kafka" in collector.log_text() and "hunter2" not in collector.log_text()
    shown = run_command("config", "--config", config).stdout
    assert "hunter2" not in shown
