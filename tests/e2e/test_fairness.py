"""Memory is short for as long as a test says, since the store cannot commit: whoever sends most is refused first, with a hint, and the others are
served; datagrams, whose senders hear nothing, are counted."""

import os
import queue
import socket
import threading

import pytest
from harness import SLOW, Connection, assert_balanced, until
from otlp import request_of, spans_of
from same_trace import run_client, same_trace
from stalled import stalled
from test_overload import distinct

pytestmark = pytest.mark.core
# One loop, because each knows its own senders. Nothing but the store's commits frees the ring, and nobody soon gives up by time.
SHORT = {"threads": "1", "live.ring_bytes": "16MiB", "ingest.wait": "8s", "sampling.overload": "false", "sampling.floor.traces_per_second": "0"}
QUIET, LOUD = "127.0.0.1", "127.0.0.2"


@pytest.fixture
def collector(make):
    it = make(SHORT)
    assert it.send(request_of(1).SerializeToString()).status == 200  # so that there is a partition
    it.settle()
    return it


def busy(collector, door="otlp_http"):
    """Who was refused why; not whose wait was over, which depends on the machine's speed."""
    found = {dict(labels)["reason"]: value for (name, labels), value in collector.metrics().items()
             if name == "meshglass_ingest_busy_total" and dict(labels)["door"] == door}
    return {reason: value for reason, value in found.items() if value and reason not in ("wait", "log")}


class Sender:
    """One connection from an address; what was sent is answered in turn, whenever it is."""

    def __init__(self, collector, address):
        self.connection, self.answers = Connection(collector.doors["otlp_http"], 600), queue.Queue()
        self.connection.http.source_address = (address, 0)
        self.collector, self.waits = collector, False

    def send(self, request):
        return self.collector.send(request.SerializeToString(), connection=self.connection)

    def send_until_decided(self, request):
        """Again when its wait was over."""
        answer = self.send(request)
        while answer.status == 503 and b"more than its share" not in answer.body:
            answer = self.send(request)
        self.answers.put(answer)

    def begin(self, request):
        threading.Thread(target=self.send_until_decided, args=(request,), daemon=True).start()

    def answer(self, seconds=20):
        return self.answers.get(timeout=seconds * SLOW)

    def is_answered(self, does_wait):
        """Waits for the answer, or for the request to wait."""
        while not self.waits:
            try:
                assert self.answer(0.02).status == 200
                return True
            except queue.Empty:
                self.waits = does_wait()
        return False


def waiting(collector):
    return collector.metric("meshglass_ingest_waiting_requests")


def fill(collector, *addresses):
    """Sends from these addresses in turn until each has a request that waits; returns the senders, and how many spans were taken."""
    senders, taken = [Sender(collector, address) for address in addresses], 0
    for _ in range(1000):
        n_waiting = 0
        for sender in senders:
            if not sender.waits:
                sender.begin(distinct(200, 2000, service="loud"))
            n_waiting += not sender.is_answered(lambda n=n_waiting + 1: waiting(collector) >= n)
            taken += 0 if sender.waits else 200
        if n_waiting == len(senders):
            return senders, taken
    raise AssertionError("the ring does not fill")


def test_the_biggest_talker_is_refused_first(collector):
    quiet = Sender(collector, QUIET)
    assert quiet.send(request_of(20, service="quiet")).status == 200
    with stalled(collector.data_dir):
        (loud,), taken = fill(collector, LOUD)
        more = [Sender(collector, LOUD) for _ in range(3)]
        for one in more:
            one.begin(request_of(1, service="loud"))
        until(lambda: waiting(collector) == 4)
        assert not busy(collector), "nobody else waits, so refusing them would help nobody"

        request = request_of(20, service="quiet")
        quiet.begin(request)
        for one in (loud, *more):  # at once, and long before its wait is over
            answer = one.answer()
            assert answer.status == 503 and 1 <= int(answer.headers["retry-after"]) <= 3, answer
        assert busy(collector) == {"talker": 4}
        until(lambda: waiting(collector) == 1, what="the quiet one alone")
        assert quiet.answers.empty()
    assert quiet.answer().status == 200
    assert len(collector.trace(next(spans_of(request)).trace_id.hex()).json()["data"][0]["spans"]) == 20
    assert loud.send(request_of(1)).status == 200, "nobody is shut out for ever"
    assert busy(collector) == {"talker": 4}
    ledger = collector.settle()
    assert_balanced(ledger)
    assert ledger["accepted"] == 1 + 20 + taken + 20 + 1


def test_equals_wait_together(collector):
    """Two that sent alike: neither is loud, so neither is refused before its time."""
    with stalled(collector.data_dir):
        senders, _ = fill(collector, QUIET, LOUD)
        assert not busy(collector)
    assert [sender.answer().status for sender in senders] == [200, 200]
    assert not busy(collector)


@pytest.mark.parametrize("door, client", [("jaeger_compact", "jaeger-compact"), ("jaeger_binary", "jaeger-binary")])
def test_datagrams_without_room_are_counted(collector, door, client):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        ours.bind(("127.0.0.1", 0))
        ours.settimeout(10)
        pad, sent = b"x" * 40_000, 0
        run_client(client, "127.0.0.1:%d" % ours.getsockname()[1], [same_trace()[0] | {"attributes": {"text": pad.decode()}}])
        datagram = ours.recv(65536)
        host, _, port = collector.doors[door].rpartition(":")

        def outcomes():
            found = {dict(labels)["outcome"]: value for (name, labels), value in collector.metrics().items()
                     if name == "meshglass_ingest_requests_total" and dict(labels)["door"] == door}
            assert not sum(found.values()) - found["accepted"] - found["busy"], found
            return found

        def send():
            """A span of a text of its own, alone, since the socket's buffer may be small; how many were dropped so far, and how many taken."""
            nonlocal sent
            ours.sendto(datagram.replace(pad, os.urandom(20_000).hex().encode()), (host, int(port)))
            sent += 1
            until(lambda: sum(outcomes().values()) == sent, what="the datagram")
            return outcomes()["busy"], outcomes()["accepted"]
        with stalled(collector.data_dir):
            fill(collector, LOUD)
            dropped, taken = until(lambda: (found := send())[0] > 0 and found, what="a datagram without room")
            assert taken > 0 and busy(collector, door) == {"credit": dropped}
        until(lambda: send()[1] > taken, what="a datagram that is taken")
    assert collector.metric("meshglass_spans_accepted_total", door=door) == outcomes()["accepted"]
    assert_balanced(collector.settle())
