"""One trace goes through every door, sent by clients that others wrote, and comes back equal through every query door, field by field, but for
the conversions that conversions.py lists with their reasons."""

import re

import pytest
from harness import DOORS, run_command, until
from same_trace import CLIENTS, QUERIES, assert_equal, dumped, read, same_trace, send, wanted

TAKES_NO_SPANS = {"metrics", "health", "sampling_http", "sampling_grpc"}


@pytest.mark.core
@pytest.mark.parametrize("client", CLIENTS)
def test_the_same_trace(make, client):
    collector, trace = make(), same_trace()
    send(collector, client, trace)
    until(lambda: len(read(collector, "v2 JSON")) == len(trace), what="the trace")
    for query in QUERIES:  # from memory
        assert_equal(read(collector, query), wanted(trace, client, query), query)
    collector.settle()
    for query in QUERIES:  # from the store
        assert_equal(read(collector, query), wanted(trace, client, query), query)
    collector.stop()
    assert_equal(dumped(collector), wanted(trace, client, "dump"), "store dump")


def test_no_door_is_left_out():
    """Every door of the program's own list takes the trace, shows it, or has nothing to do with traces."""
    doors = set(re.findall(r"^listen\.(\w+):", run_command("config").stdout, re.M))
    assert doors == set(DOORS)
    assert doors == {door for _, door, _ in CLIENTS.values()} | set(QUERIES.values()) | TAKES_NO_SPANS
