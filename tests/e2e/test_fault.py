"""Every file call of the collector's life fails once: from the start over ingest, decision, commit, a new partition and sealing to
retention. The program must not crash, must go on or refuse to start, and must keep what it acked, once.

The trace of a run without faults lists the calls. CI takes a stride through it; MGTEST_LONG takes all. The n-th call of a later
run need not be the same one, because threads meet differently; every call is hit by some n all the same.
MGTEST_FAULT_AT=n:EIO[:times] runs that one alone."""

import concurrent.futures
import os
import shutil

import pytest
from harness import until
from otlp import request_of, spans_of
from power import Disk, check_acked, check_dump, check_files, check_ledger, layer  # noqa: F401

pytestmark = pytest.mark.usefixtures("layer")

LONG = bool(os.environ.get("MGTEST_LONG"))
ONE = os.environ.get("MGTEST_FAULT_AT")
TOGETHER = 6      # runs side by side: they mostly wait
CI_RUNS = 60
WALL_S = 3600     # what the template holds is an hour old, older than the retention
SETS = {"store.retention": "1m"}
ERRORS = {"open": ("EIO", "EMFILE"), "write": ("EIO", "ENOSPC", "SHORT"), "writev": ("EIO", "ENOSPC", "SHORT"), "pwrite": ("EIO", "ENOSPC", "SHORT"),
          "pwritev": ("EIO", "ENOSPC", "SHORT"), "fallocate": ("ENOSPC",), "ftruncate": ("EIO",)}
OLD_SPANS = 10


class Scenario:
    """One life on a disk of its own. `found` collects what is wrong."""

    def __init__(self, folder, template, fault=None, ends_by_cut=False):
        self.disk = Disk(folder / "disk", SETS)
        shutil.copytree(template, self.disk.folder, dirs_exist_ok=True)
        self.trace, self.fault, self.ends_by_cut = folder / "trace", fault, ends_by_cut
        self.acked, self.sent, self.found = {}, OLD_SPANS, []

    def send(self, collector):
        """One trace, again with fresh ids until it is acked: a refusal is an answer with a status, never a lost connection."""
        def is_acked():
            request = request_of(5)
            self.sent += 5
            answer = collector.send(request.SerializeToString())
            if answer.status != 200:
                assert answer.status == 503, answer
                return False
            self.acked[next(spans_of(request)).trace_id.hex()] = [span.span_id.hex() for span in spans_of(request)]
            return True
        until(is_acked, 20, "an ack")

    def newest(self):
        return max(int(path.stem) for path in (self.disk.data / "store").glob("*.mdb"))

    def live(self, collector):
        """Ingest, decide, commit, roll, seal; the first partition is beyond its retention as soon as there is a second one."""
        self.send(collector)
        collector.settle()
        begun = self.newest()

        def has_rolled():
            self.send(collector)
            collector.settle()
            return self.newest() > begun
        until(has_rolled, 20, "a new partition")
        self.send(collector)
        collector.settle()

    def check(self, collector, when):
        """A look-up that meets the failing call may miss a partition, but reading goes on: soon everything is found."""
        try:
            until(lambda: not check_acked(collector, self.acked), 5, "reading")
        except AssertionError:
            self.found += [f"{when}, for 5 s: {sentence}" for sentence in check_acked(collector, self.acked)]
        self.found += check_ledger(collector.settle(), OLD_SPANS + sum(map(len, self.acked.values())), self.sent)

    def is_started(self, collector):
        """False: it refused to start, with a sentence."""
        try:
            collector.wait_ready()
            return True
        except AssertionError:
            code = collector.wait_exit(1) if not collector.is_running() else None
            if code != 1 or "meshglass-collector: " not in collector.log_text():
                self.found.append(f"start: exit {code}\n{collector.log_text()}")
            return False

    def first(self):
        collector = self.disk.run(wait=False, fault=self.fault, wall_s=WALL_S, trace=self.trace)
        if not self.is_started(collector):
            collector.process.kill()
            return
        self.live(collector)
        self.check(collector, "while it runs")
        if self.ends_by_cut:
            collector.cut()
        else:
            collector.stop()

    def second(self):
        """Without faults: what the first left is whole, and goes on."""
        collector = self.disk.run(wall_s=WALL_S)
        self.check(collector, "after the restart")
        self.live(collector)
        self.check(collector, "a life later")
        until(lambda: not (self.disk.data / "store/000001.mdb").exists(), 20, "the end of the expired partition")
        collector.stop()
        self.found += check_files(self.disk.data)
        self.found += check_dump(self.disk.data, None, self.acked)

    def run(self):
        try:
            self.first()
            self.second()
        except (AssertionError, OSError) as error:
            self.found.append(f"{type(error).__name__}: {error}")
        except Exception as error:  # http.client has its own tree of connection errors
            if not type(error).__module__.startswith("http"):
                raise
            self.found.append(f"{type(error).__name__}: {error}")
        finally:
            self.found += [f"it crashed: exit {c.process.poll()}\n{c.log_text()}" for c in self.disk.collectors
                           if c.process.poll() is not None and c.process.poll() not in (0, 1, 137)]
            self.disk.end()
        return self

    def call(self):
        """The line of the trace that failed."""
        lines = self.trace.read_text().splitlines() if self.trace.exists() else []
        at = int(self.fault.split(":")[0])
        return lines[at - 1].replace(str(self.disk.folder), "") if at <= len(lines) else "not reached"


@pytest.fixture(scope="module")
def template(tmp_path_factory, layer):  # noqa: F811
    """A disk with one partition, and the trace of a life on it without faults."""
    disk = Disk(tmp_path_factory.mktemp("template") / "disk", SETS)
    collector = disk.plain()
    assert collector.send(request_of(OLD_SPANS).SerializeToString()).status == 200
    collector.settle()
    collector.stop()
    return disk.folder


def plan(trace):
    """(fault, ends by a cut) for every call and every error that it can have."""
    rows = []
    for line in trace:
        number, name, _ = line.split(" ", 2)
        rows += [f"{number}:{error}" for error in ERRORS.get(name, ("EIO",))]
    rows += [f"{number}:EIO:3" for number in range(1, len(trace) + 1, 3)]  # a disk that stays away for a while
    return [(fault, i % 2 == 1) for i, fault in enumerate(rows)]


def test_every_call_fails_once(tmp_path, template):
    calm = Scenario(tmp_path / "calm", template).run()
    assert not calm.found, "\n".join(calm.found)
    trace = calm.trace.read_text().splitlines()
    names = {line.split()[1] for line in trace}
    assert names >= {"open", "pwrite", "pwritev", "fdatasync", "fsync", "fallocate", "unlink"}, names
    rows = [(ONE, False), (ONE, True)] if ONE else plan(trace)
    stride = 1 if LONG or ONE else max(1, len(rows) // CI_RUNS) | 1  # odd, so that both ends are met
    rows = rows[::stride]

    def run(row):
        number, (fault, ends_by_cut) = row
        folder = tmp_path / str(number)
        scenario = Scenario(folder, template, fault, ends_by_cut).run()
        if not scenario.found:
            shutil.rmtree(folder)
        return scenario

    with concurrent.futures.ThreadPoolExecutor(TOGETHER) as pool:
        done = list(pool.map(run, enumerate(rows)))
    bad = [f"FAULT_AT={s.fault} ({s.call()}), then a {'cut' if s.ends_by_cut else 'stop'}:\n  " + "\n  ".join(s.found) for s in done if s.found]
    print(f"faults: {len(trace)} calls, {len(rows)} runs, {len(bad)} bad")
    assert not bad, f"{len(bad)} of {len(rows)}:\n" + "\n".join(bad)
