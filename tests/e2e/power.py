"""power.py - the collector on a disk whose power can be cut (tests/fault/powercut.c), and a judge of what is left.

A `Disk` is a folder with the data directory in it. `disk.run()` starts the unchanged program under the layer, `disk.plain()`
without it. The judge never asserts: it returns sentences, so that one test can want none of them and another one some."""

import fcntl
import os
import pathlib
import re
import signal
import subprocess

import pytest
from harness import BUILD, IS_SANITIZED, SLOW, Collector, run_command
from otlp import from_json, span_of
from test_kill import lost_from

LAYER = BUILD / "lib/libmg_powercut.so"
EXIT_CUT = 137
CUT = re.compile(r"powercut: cut at call (\d+): (\d+) writes kept, (\d+) torn, (\d+) dropped; (\d+) names kept, (\d+) undone")
ENDED = re.compile(r"powercut: ended after (\d+) calls")

# Everything happens within a second: blocks, a new partition, its sealing.
BUSY = {"sampling.root_grace": "50ms", "sampling.decision_wait": "200ms", "store.block_age": "50ms", "store.partition_age": "1s"}


def build_layer():
    """The layer belongs to no program, so nothing else builds it. One session at a time: they share the build."""
    if IS_SANITIZED:
        pytest.skip("the layer replaces functions that a sanitizer replaces as well")
    with open(BUILD / "powercut.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(["cmake", "--build", str(BUILD), "--target", "mg_powercut"], capture_output=True, text=True)
    assert done.returncode == 0 and LAYER.exists(), done.stdout + done.stderr


def layer_env(folder, **settings):
    """The environment of a program under the layer; settings without their prefix, FAULT_AT as fault."""
    names = {"fault": "FAULT_AT"}
    env = {names.get(key, "POWERCUT_" + key.upper()): str(value) for key, value in settings.items() if value is not None}
    return env | {"LD_PRELOAD": str(LAYER), "POWERCUT_DIR": str(folder)}


class Powered(Collector):
    """One run under the layer."""

    def cut(self):
        """The power goes now, unless it went before."""
        if self.is_running():
            self.process.send_signal(signal.SIGUSR1)
        self.wait_cut()

    def wait_cut(self, seconds=20):
        code = self.wait_exit(seconds * SLOW)
        assert code == EXIT_CUT, f"exit {code} instead of a cut\n{self.log_text()}"
        self.check_log()

    def tally(self):
        """What the cut did: call, writes kept, torn, dropped, names kept, undone."""
        found = CUT.search(self.log_text())
        assert found, self.log_text()
        return dict(zip(("call", "kept", "torn", "dropped", "names_kept", "undone"), map(int, found.groups())))

    def calls(self):
        found = ENDED.search(self.log_text())
        assert found, self.log_text()
        return int(found.group(1))


class Disk:
    def __init__(self, folder, sets=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data, self.sets = self.folder / "data", BUSY | (sets or {})
        self.collectors = []

    def run(self, wait=True, **settings):
        return self._start(Powered(self.data, self.sets, env=layer_env(self.folder, **settings)), wait)

    def plain(self, wait=True):
        return self._start(Collector(self.data, self.sets), wait)

    def _start(self, collector, wait):
        self.collectors.append(collector)
        return collector.start(wait)

    def begin(self):
        """A first start and stop, with nothing at risk: the folders and their names are old from then on."""
        self.plain().stop()
        return self

    def end(self):
        for collector in self.collectors:
            if collector.is_running():
                collector.process.kill()
                collector.process.wait()

    def copy(self, name):
        """A copy of the data directory beside the disk; holes stay holes, segments are mostly hole."""
        to = self.folder.with_name(f"{self.folder.name}-{name}")
        subprocess.run(["rm", "-rf", str(to)], check=True)
        subprocess.run(["cp", "-a", "--sparse=always", str(self.data), str(to)], check=True)
        return to


@pytest.fixture(scope="session")
def layer():
    build_layer()


# --- the judge ---------------------------------------------------------------------------------------

def check_files(data):
    """Findings of `store check` and `journal check` on a stopped data directory."""
    found = []
    for what in ("store", "journal"):
        done = run_command(what, "check", data)
        if done.returncode != 0:
            found.append(f"{what} check exits {done.returncode}: {done.stdout[-1500:]} {done.stderr[-500:]}")
    return found


def check_ledger(ledger, acked, sent):
    """accepted counts what was journalled, which is at least what was acked and at most what was sent."""
    found = []
    if ledger["accepted"] != ledger["stored"] + ledger["sampled_out"] + ledger["duplicate"] + ledger["pending"]:
        found.append(f"the ledger does not balance: {ledger}")
    if not acked <= ledger["accepted"] <= sent:
        found.append(f"accepted is not between acked {acked} and sent {sent}: {ledger}")
    return found


def check_acked(collector, acked):
    lost = lost_from(collector, acked)
    return [f"{len(lost)} of {sum(map(len, acked.values()))} acked spans are lost, for example {lost[:3]}"] if lost else []


def check_dump(data, stored, acked, gone=()):
    """Every acked span once in what `store dump` prints; `gone` are traces that retention may have taken."""
    done = run_command("store", "dump", data, timeout=300)
    if done.returncode != 0:
        return [f"store dump exits {done.returncode}: {done.stderr[-500:]}"]
    spans = [span_of(from_json(line)) for line in done.stdout.splitlines()]
    pairs = [(span.trace_id.hex(), span.span_id.hex()) for span in spans]
    found, have = [], set(pairs)
    if len(pairs) != len(have):
        found.append(f"{len(pairs) - len(have)} spans are stored twice, for example {sorted({p for p in pairs if pairs.count(p) > 1})[:3]}")
    if stored is not None and len(pairs) != stored:
        found.append(f"{len(pairs)} spans in the store, the ledger says {stored}")
    lost = [(trace, span) for trace, ids in acked.items() if trace not in gone for span in ids if (trace, span) not in have]
    if lost:
        found.append(f"{len(lost)} acked spans are not in the store, for example {lost[:3]}")
    return found


def flag(name, otherwise):
    return int(os.environ.get(name, otherwise))
