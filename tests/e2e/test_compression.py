"""Answers as gzip, read by clients of others: http.client with gzip, and curl over HTTP/1.1 and HTTP/2."""

import gzip
import shutil
import subprocess

import pytest
from harness import SLOW, Collector
from test_big_traces import send_big

pytestmark = pytest.mark.core
SPANS = 20_000
GZIP = {"Accept-Encoding": "gzip"}


@pytest.fixture(scope="module")
def collector(tmp_path_factory):
    with Collector(tmp_path_factory.mktemp("compression") / "data") as it:
        it.big, _ = send_big(it, SPANS)
        it.settle(60)
        yield it


# Door, path, whether two answers are the same byte for byte. The first three are streamed, the others come whole.
RESOURCES = [
    ("query_http", "/api/traces/{big}", True),
    ("query_http", "/api/v3/traces/{big}", True),
    ("zipkin", "/api/v2/trace/{big}", True),
    ("query_http", "/console/", True),
    ("metrics", "/metrics", False),
]
BY_PATH = pytest.mark.parametrize("door, path, is_steady", RESOURCES, ids=[row[1] for row in RESOURCES])


@BY_PATH
def test_gzip_is_the_same_answer(collector, door, path, is_steady):
    path = path.format(big=collector.big)
    plain = collector.request(door, "GET", path)  # http.client says identity
    packed = collector.request(door, "GET", path, headers=GZIP)
    assert (plain.status, packed.status) == (200, 200)
    assert packed.headers["content-encoding"] == "gzip" and "content-encoding" not in plain.headers
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
    assert packed.headers["content-type"] == plain.headers["content-type"]
    body = gzip.decompress(packed.body)
    assert body == plain.body if is_steady else body.split()[:20] == plain.body.split()[:20]
    assert len(packed.body) < len(body) / 2


@BY_PATH
def test_head_says_what_get_says(collector, door, path, is_steady):
    path = path.format(big=collector.big)
    for headers in (GZIP, {}):
        get, head = (collector.request(door, method, path, headers=headers) for method in ("GET", "HEAD"))
        assert (head.status, head.body) == (200, b"")
        for name in ("content-type", "content-encoding", "vary", "etag", "transfer-encoding"):
            assert head.headers.get(name) == get.headers.get(name), name
        assert not is_steady or head.headers.get("content-length") == get.headers.get("content-length")


@pytest.mark.parametrize("accept", ["", "identity", "br, zstd", "gzip;q=0", "gzip;q=0, *", "*;q=0", "identity, gzip;q=0.5", "gzip;q=x", "identity;q=0"])
def test_who_does_not_read_gzip_gets_none(collector, accept):
    answer = collector.get(f"/api/traces/{collector.big}", headers={"Accept-Encoding": accept})
    assert answer.status == 200 and len(answer.json()["data"][0]["spans"]) == SPANS
    assert "content-encoding" not in answer.headers and answer.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize("path, status", [("/api/services", 200), ("/api/traces/" + "0" * 31 + "1", 404), ("/api/traces/none", 400), ("/nothing", 404)])
def test_small_answers_and_failures_leave_as_they_are(collector, path, status):
    answer = collector.get(path, headers=GZIP)
    assert answer.status == status and "content-encoding" not in answer.headers
    assert int(answer.headers["content-length"]) == len(answer.body)


def test_conditional_requests(collector):
    plain, packed = collector.get("/console/"), collector.get("/console/", headers=GZIP)
    strong, weak = plain.headers["etag"], packed.headers["etag"]
    assert not strong.startswith("W/") and weak == "W/" + strong
    for tag in (strong, weak):
        for headers, expected in ((GZIP, weak), ({}, strong)):
            again = collector.get("/console/", headers=headers | {"If-None-Match": tag})
            assert (again.status, again.body) == (304, b"")
            assert again.headers["etag"] == expected and again.headers["vary"] == "Accept-Encoding"
            assert "content-encoding" not in again.headers
    for tag in ('W/"other"', weak[:-1], strong.strip('"')):
        assert collector.get("/console/", headers=GZIP | {"If-None-Match": tag}).status == 200


def curl(*arguments):
    done = subprocess.run(["curl", "-sS", "--fail", *arguments], capture_output=True, timeout=60 * SLOW)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("protocol", ["--http1.1", "--http2-prior-knowledge"])
@BY_PATH
def test_curl(collector, tmp_path, protocol, door, path, is_steady):
    url = collector.url(door) + path.format(big=collector.big)
    head = tmp_path / "head"
    plain, packed = curl(protocol, url), curl(protocol, "--compressed", "-D", head, url)
    assert "content-encoding: gzip" in head.read_text().lower()
    assert packed == plain if is_steady else packed.split()[:20] == plain.split()[:20]
