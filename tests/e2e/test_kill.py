"""kill -9 at random moments under load: every acked span is there after the restart and the ledger balances.

MGTEST_KILL_ROUNDS sets the rounds (5). The test prints how many acked spans it looked for and how many were lost.
It is itself tested: with MGTEST_E2E_EXPECT_LOSS=1 it passes only when spans were lost, which is what a program must show
whose answer leaves before the journal has the request."""

import gzip
import os
import random
import threading

import grpc
import pytest
from harness import assert_balanced, run_command, until
from otlp import from_json, request_of, span_of, spans_of

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
ROUNDS = int(os.environ.get("MGTEST_KILL_ROUNDS", "5"))
EXPECT_LOSS = os.environ.get("MGTEST_E2E_EXPECT_LOSS") == "1"
SENDERS, SPANS_PER_REQUEST, REQUESTS_PER_SECOND = 4, 20, 50


class Load:
    """Senders on their own connections at a rate; what was acked is written down only after the answer."""

    def __init__(self, collector, seed):
        self.collector, self.seed = collector, seed
        self.acked, self.sent, self.lock, self.end = {}, 0, threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(SENDERS)]
        for thread in self.threads:
            thread.start()

    def sender(self, number):
        if number % 2:
            channel = grpc.insecure_channel(self.collector.doors["otlp_grpc"])
            call = channel.unary_unary(EXPORT)
            return channel, lambda body: call(body, timeout=10) == b""
        connection = self.collector.connect("otlp_http", 10)

        def send(body):
            answer = self.collector.send(gzip.compress(body, 1), encoding="gzip", connection=connection)
            return answer.status == 200 and answer.body == b""
        return connection.http, send

    def run(self, number):
        handle, send = self.sender(number)
        try:
            while not self.end.wait(SENDERS / REQUESTS_PER_SECOND):
                request = request_of(SPANS_PER_REQUEST, service=f"sender-{number}")
                self.sent += SPANS_PER_REQUEST
                if send(request.SerializeToString()):
                    ids = [span.span_id.hex() for span in spans_of(request)]
                    with self.lock:
                        self.acked[next(spans_of(request)).trace_id.hex()] = ids
        except (OSError, grpc.RpcError, ValueError, EOFError):
            pass  # the kill: what had no answer may be lost
        except Exception as error:  # http.client has its own tree of connection errors
            if not type(error).__module__.startswith("http"):
                raise
        finally:
            handle.close()

    def stop(self):
        self.end.set()
        for thread in self.threads:
            thread.join(20)


def lost_from(collector, acked):
    lost = []
    with collector.connect("query_http") as connection:
        for trace_id, ids in acked.items():
            answer = connection.request("GET", f"/api/traces/{trace_id}?raw=true")
            have = {span["spanID"] for span in answer.json()["data"][0]["spans"]} if answer.status == 200 else set()
            lost += [(trace_id, span_id) for span_id in ids if span_id not in have]
    return lost


@pytest.mark.core
def test_acked_spans_survive_kills(make):
    seed = int(os.environ.get("MGTEST_KILL_SEED", random.SystemRandom().randrange(2**31)))
    chance = random.Random(seed)
    print(f"seed {seed} (MGTEST_KILL_SEED)")
    collector = make({"sampling.root_grace": "100ms", "store.block_age": "200ms", "store.partition_age": "3s"})
    everything, lost, sent = {}, [], 0
    for number in range(ROUNDS):
        load = Load(collector, seed + number)
        until(lambda: load.acked, 20, "the first ack")
        threading.Event().wait(chance.uniform(0, 1.5))  # a random moment, not a barrier
        collector.kill()
        load.stop()
        everything |= load.acked
        sent += load.sent
        collector = collector.again().start(wait=False)
        if chance.random() < 0.4:  # also in the middle of a replay
            threading.Event().wait(chance.uniform(0, 0.1))
            collector.kill()
            collector = collector.again().start(wait=False)
        collector.wait_ready()
        lost += lost_from(collector, load.acked)
        ledger = collector.ledger()
        assert_balanced(ledger)
        n_acked = sum(map(len, everything.values()))
        if not EXPECT_LOSS:
            assert n_acked <= ledger["accepted"] <= sent, (n_acked, ledger, sent)
    n_acked = sum(map(len, everything.values()))
    ledger = collector.settle()
    assert_balanced(ledger)
    lost = sorted(set(lost) | set(lost_from(collector, everything)))
    collector.stop()
    dump = run_command("store", "dump", collector.data_dir, timeout=300)
    assert dump.returncode == 0, dump.stderr
    stored = [span_of(from_json(line)) for line in dump.stdout.splitlines()]
    in_store = {(span.trace_id.hex(), span.span_id.hex()) for span in stored}
    assert len(stored) == len(in_store) == ledger["stored"], "a span is stored twice or the count is wrong"
    lost = sorted(set(lost) | {(t, s) for t, ids in everything.items() for s in ids if (t, s) not in in_store})
    print(f"kill test: {ROUNDS} rounds, {sent} spans sent, {n_acked} acked, {len(lost)} acked spans lost")
    if EXPECT_LOSS:
        assert lost, "no span was lost although a loss was expected"
    else:
        assert not lost, f"{len(lost)} of {n_acked} acked spans are lost (seed {seed}), for example {lost[:3]}"
