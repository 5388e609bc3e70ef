"""Bad datagrams at the doors of Jaeger's agent: nobody is answered, so each is counted under its reason, and the door goes on. The good ones are
what clients sent to a socket of ours; the bad ones are made from them."""

import socket

import pytest
from harness import until
from same_trace import CLIENTS, SERVER, TRACE, assert_equal, read, run_client, same_trace, wanted

pytestmark = pytest.mark.core
CLIENT_OF = {"jaeger_compact": "jaeger-compact", "jaeger_binary": "jaeger-binary"}
assert all(CLIENTS[client][1] == door for door, client in CLIENT_OF.items())
NAME = b"emitBatch"


@pytest.fixture(scope="module")
def sent_trace():
    return same_trace()


@pytest.fixture(scope="module")
def captured(sent_trace):
    """{door: its datagrams of the trace}."""
    found = {}
    for door, client in CLIENT_OF.items():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
            ours.bind(("127.0.0.1", 0))
            run_client(client, "127.0.0.1:%d" % ours.getsockname()[1], sent_trace)
            ours.settimeout(10)
            found[door] = [ours.recv(65536) for _ in range(2)]  # one a service
    return found


def send(collector, door, *datagrams):
    host, _, port = collector.doors[door].rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        for datagram in datagrams:
            ours.sendto(datagram, (host, int(port)))


def counted(collector, door):
    """Datagrams by outcome."""
    found = {dict(labels)["outcome"]: int(value) for (name, labels), value in collector.metrics().items()
             if name == "meshglass_ingest_requests_total" and dict(labels)["door"] == door}
    return {outcome: n for outcome, n in found.items() if n}


def of_zero_ids(data):
    for half in (TRACE[:16], TRACE[16:], SERVER):
        data = data.replace(bytes.fromhex(half), bytes(8))
    return data


BAD = {  # name: what is made of (a good datagram, one of the other door)
    "nothing": lambda good, other: [b""],
    "one byte": lambda good, other: [good[:1]],
    "cut anywhere": lambda good, other: [good[:n] for n in range(1, len(good), 37)],
    "cut at its end": lambda good, other: [good[:-1], good[:-2]],
    "a byte too many": lambda good, other: [good + b"\0"],
    "two in one": lambda good, other: [good + good],
    "of the other door": lambda good, other: [other],
    "text": lambda good, other: [b"GET / HTTP/1.1\r\n\r\n", b"[]", b"{}"],
    "zeros": lambda good, other: [bytes(1), bytes(1400)],
    "all bits set": lambda good, other: [b"\xff" * 1400],
    "another protocol's version": lambda good, other: [b"\x12" + good[1:]],
    "another method": lambda good, other: [good.replace(NAME, b"emitMatch"), good.replace(NAME, b"emitBatcc", 1)],
    "a reply": lambda good, other: [good.replace(b"\x80\x01\x00\x04", b"\x80\x01\x00\x02", 1) if good[0] == 0x80 else good[:1] + b"\x41" + good[2:]],
    "a name without an end": lambda good, other: [good[:good.index(NAME)] + b"\x7f" * 40],
    "only the arguments": lambda good, other: [good[good.index(NAME) + len(NAME):]],
}


@pytest.mark.parametrize("door", CLIENT_OF)
@pytest.mark.parametrize("name", BAD)
def test_bad_datagrams(collector, captured, door, name):
    good, (other,) = captured[door], [captured[one][0] for one in CLIENT_OF if one != door]
    bad, before, refused = BAD[name](good[0], other), counted(collector, door), collector.ledger()["refused"]
    send(collector, door, *bad)
    send(collector, door, *good)
    want = {"accepted": before.get("accepted", 0) + 2, "malformed": before.get("malformed", 0) + len(bad)}
    until(lambda: sum(counted(collector, door).values()) == sum(want.values()), what="all datagrams")
    assert counted(collector, door) == want and collector.ledger()["refused"] == refused


def test_zero_ids(collector, captured):
    before = counted(collector, "jaeger_binary")
    data = captured["jaeger_binary"][0]
    assert of_zero_ids(data) != data
    send(collector, "jaeger_binary", of_zero_ids(data))
    until(lambda: counted(collector, "jaeger_binary").get("malformed", 0) == before.get("malformed", 0) + 1)


@pytest.mark.parametrize("door", CLIENT_OF)
def test_bad_ones_leave_the_good_alone(make, captured, sent_trace, door):
    """What was sent between bad datagrams is there whole, and the log says once who sends them."""
    collector, (first, second) = make(), captured[door]
    send(collector, door, first[:-1], first, b"", b"\xff" * 100, second, second[1:])
    until(lambda: counted(collector, door) == {"accepted": 2, "malformed": 4})
    assert_equal(read(collector, "v2 JSON"), wanted(sent_trace, CLIENT_OF[door], "v2 JSON"), door)
    until(lambda: "datagram malformed" in collector.log_text())
    assert collector.log_text().count("datagram malformed") == 1 and "peer=127.0.0.1:" in collector.log_text()
