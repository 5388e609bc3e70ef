"""`store backup` on a running collector: what was stored when it began is in the copy, whatever comes meanwhile; a copy that is not
whole never gets its name; the server makes one at a time."""

import http.server
import os
import signal
import socket
import stat
import subprocess
import tarfile
import threading

import pytest
from harness import PROGRAM, SLOW, Collector, assert_balanced, run_command, until
from otlp import request_of, spans_of

PATH = "/api/meshglass/v1/backup"


def backup(collector, file):
    return run_command("store", "backup", "--server", collector.url("query_http"), file)


def send(collector, request, connection=None):
    assert collector.send(request.SerializeToString(), connection=connection).status == 200
    spans = list(spans_of(request))
    return spans[0].trace_id.hex(), {span.span_id.hex() for span in spans}


class Load:
    """Traces one after the other until told to end."""

    def __init__(self, collector):
        self.collector, self.sent, self.failure, self.end = collector, 0, None, threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            with self.collector.connect("otlp_http") as connection:
                while not self.end.is_set():
                    send(self.collector, request_of(20), connection)
                    self.sent += 1
        except Exception as failure:
            self.failure = failure

    def stop(self):
        self.end.set()
        self.thread.join()
        assert not self.failure, self.failure


def unpack(file, data):
    (data / "store").mkdir(parents=True, mode=0o700)
    with tarfile.open(file) as tar:
        members = tar.getmembers()
        for member in members:
            assert member.isreg() and member.name.startswith("store/") and member.name.count("/") == 1, member
        tar.extractall(data)
    return [member.name for member in members]


def leftovers(directory):
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.core
def test_backup_under_load(make, tmp_path):
    collector = make({"store.partition_age": "1s"})
    known = dict(send(collector, request_of(7)) for _ in range(30))
    collector.settle()
    pinned = next(iter(known))
    assert collector.request("query_http", "POST", f"/api/archive/{pinned}").status == 200
    load = Load(collector)
    until(lambda: load.sent >= 50 and collector.status()["store"]["partitions"] >= 3, what="load, sealed partitions and an open one")
    stored = collector.ledger()["stored"]
    done = backup(collector, tmp_path / "copy.tar")
    load.stop()
    assert done.returncode == 0, done.stderr
    assert "files" in done.stderr and str(tmp_path / "copy.tar") in done.stderr
    assert stat.S_IMODE(os.stat(tmp_path / "copy.tar").st_mode) == 0o600
    collector.stop()
    assert leftovers(tmp_path) == ["copy.tar", "data"]

    names = unpack(tmp_path / "copy.tar", tmp_path / "fresh")
    assert "store/pins.mdb" in names and len(names) >= 4, names
    assert run_command("store", "check", tmp_path / "fresh").returncode == 0
    restored = make(name="fresh")
    with restored.connect("query_http") as connection:
        for trace_id, ids in known.items():
            answer = connection.request("GET", f"/api/traces/{trace_id}?raw=true")
            assert answer.status == 200, (trace_id, answer)
            assert {span["spanID"] for span in answer.json()["data"][0]["spans"]} == ids
    ledger = restored.settle()
    assert_balanced(ledger)
    assert ledger["stored"] >= stored
    more = dict([send(restored, request_of(3))])  # and it goes on
    restored.settle()
    assert restored.trace(*more).status == 200
    restored.stop()
    checked = run_command("store", "check", tmp_path / "fresh")
    assert checked.returncode == 0, checked.stderr


def test_backup_of_an_empty_store(make, tmp_path):
    collector = make()
    done = backup(collector, tmp_path / "copy.tar")
    assert done.returncode == 0, done.stderr
    unpack(tmp_path / "copy.tar", tmp_path / "fresh")
    with Collector(tmp_path / "fresh", collector.sets | {"data_dir": str(tmp_path / "fresh")}) as restored:
        assert_balanced(restored.ledger())


def test_the_answer_is_a_file(make):
    collector = make()
    send(collector, request_of(3))
    collector.settle()
    answer = collector.get(PATH)
    assert answer.status == 200 and answer.headers["content-type"] == "application/x-tar"
    assert answer.headers["content-disposition"] == 'attachment; filename="meshglass-backup.tar"'
    assert len(answer.body) % 512 == 0 and answer.body.endswith(bytes(1024))
    for method in ("HEAD", "POST", "DELETE"):
        refused = collector.request("query_http", method, PATH)
        assert refused.status == 405 and "GET" in refused.headers["allow"], method


def test_nothing_is_overwritten(make, tmp_path):
    collector = make()
    (tmp_path / "there").write_text("mine")
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("there", "link", "data"):
        done = backup(collector, tmp_path / name)
        assert done.returncode == 1 and "not overwritten" in done.stderr, done.stderr
    assert (tmp_path / "there").read_text() == "mine"
    done = backup(collector, tmp_path / "absent" / "copy.tar")
    assert done.returncode == 1 and "absent" in done.stderr
    assert run_command("store", "backup").returncode == 2
    assert run_command("store", "backup", "a", "b").returncode == 2
    assert leftovers(tmp_path) == ["data", "link", "there"]


def fill(collector, megabytes=24):
    """So much that it does not fit between a server and a reader that does not read."""
    with collector.connect("otlp_http") as connection:
        for _ in range(megabytes):
            send(collector, request_of(1, attributes={f"noise.{i}": os.urandom(128 << 10).hex() for i in range(8)}), connection)
    collector.settle(60)


class Idler:
    """Asks for a backup and reads no more than its beginning."""

    def __init__(self, collector):
        host, _, port = collector.doors["query_http"].rpartition(":")
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(30 * SLOW)
        self.socket.connect((host, int(port)))
        self.socket.sendall(f"GET {PATH} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        self.head = self.socket.recv(1024)

    def close(self):
        self.socket.close()


def test_one_at_a_time(make, tmp_path):
    collector = make()
    fill(collector)
    idler = Idler(collector)
    assert idler.head.startswith(b"HTTP/1.1 200"), idler.head
    answer = collector.get(PATH)
    assert answer.status == 503 and b"already" in answer.body and int(answer.headers["retry-after"]) >= 1
    done = backup(collector, tmp_path / "copy.tar")
    assert done.returncode == 1 and "503" in done.stderr and "already" in done.stderr, done.stderr
    assert leftovers(tmp_path) == ["data"]
    assert collector.get("/api/services").status == 200  # others are served
    idler.close()
    until(lambda: backup(collector, tmp_path / "copy.tar").returncode == 0, what="the place is free again")
    assert leftovers(tmp_path) == ["copy.tar", "data"]


def test_a_stop_does_not_wait_for_a_reader(make):
    collector = make()
    fill(collector)
    idler = Idler(collector)
    assert idler.head.startswith(b"HTTP/1.1 200"), idler.head
    collector.stop()
    idler.close()


class Fake(http.server.BaseHTTPRequestHandler):
    """Answers with `answer`, and waits for `go` behind it where there is one."""
    protocol_version = "HTTP/1.1"
    answer, go, reached = b"", None, None

    def do_GET(self):
        self.close_connection = True
        self.wfile.write(self.answer)
        self.wfile.flush()
        if self.go:
            self.reached.set()
            self.go.wait(30)

    def log_message(self, *_):
        pass


@pytest.fixture
def fake():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Fake)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Fake.go = Fake.reached = None
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def ending(body):
    return b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body


BROKEN = {
    "nothing": b"", "no tar": ending(b"<html>" + bytes(2000)), "empty": ending(b""), "one block of the end": ending(bytes(512)),
    "half a block": ending(bytes(1023)), "cut": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n" + bytes(1024) + b"\r\n",
    "short": b"HTTP/1.1 200 OK\r\nContent-Length: 1536\r\n\r\n" + bytes(1024), "not found": b"HTTP/1.1 404 X\r\nContent-Length: 5\r\n\r\nnope\n",
    "moved": b"HTTP/1.1 302 X\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", "no content": b"HTTP/1.1 204 X\r\n\r\n",
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_stream_leaves_nothing(fake, tmp_path, what):
    Fake.answer = BROKEN[what]
    done = run_command("store", "backup", "--server", fake, tmp_path / "copy.tar")
    assert done.returncode == 1 and "meshglass-collector: store backup: " in done.stderr, done.stderr
    assert leftovers(tmp_path) == []


def test_the_least_whole_stream(fake, tmp_path):
    """The proof that the rows above fail for what they lack."""
    Fake.answer = ending(bytes(1024))
    done = run_command("store", "backup", "--server", fake + "/", "copy.tar", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "copy.tar").read_bytes() == bytes(1024)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_nothing(fake, tmp_path, number):
    Fake.answer, Fake.go, Fake.reached = ending(bytes(512)), threading.Event(), threading.Event()
    process = subprocess.Popen([str(PROGRAM), "store", "backup", "--server", fake, str(tmp_path / "copy.tar")], stderr=subprocess.DEVNULL)
    assert Fake.reached.wait(20 * SLOW)
    assert len(leftovers(tmp_path)) == 1
    process.send_signal(number)
    assert process.wait(20 * SLOW) == -number
    Fake.go.set()
    assert leftovers(tmp_path) == []


def test_nobody_there(tmp_path):
    done = run_command("store", "backup", "--server", "http://127.0.0.1:1", tmp_path / "copy.tar")
    assert done.returncode == 1 and "refused" in done.stderr, done.stderr
    assert leftovers(tmp_path) == []
