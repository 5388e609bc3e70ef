"""Power cuts under load: every acked span is there after the restart, nothing is there twice, the ledger balances and both
checks find nothing, in the image the cut left and after a stop.

MGTEST_POWERCUT_ROUNDS sets the rounds (5; 100 with MGTEST_LONG), MGTEST_POWERCUT_SEED repeats a run as far as
threads allow. The test is itself tested: with syncs that only claim success it must see a loss, and the layer alone is
checked against what a disk may do."""

import os
import random
import subprocess
import sys
import threading

import pytest
from harness import until
from power import (BUSY, EXIT_CUT, LAYER, Disk, check_acked, check_dump, check_files, check_ledger, flag, layer,  # noqa: F401
                   layer_env)
from test_kill import Load

ROUNDS = flag("MGTEST_POWERCUT_ROUNDS", 100 if os.environ.get("MGTEST_LONG") else 5)
SEED = flag("MGTEST_POWERCUT_SEED", random.SystemRandom().randrange(2**31))
UNSYNCED_ROUNDS = 8
CHUNK = 10  # rounds on one disk

pytestmark = pytest.mark.usefixtures("layer")


@pytest.fixture
def disk(tmp_path):
    it = Disk(tmp_path / "disk")
    yield it
    it.end()


# --- the layer ---------------------------------------------------------------------------------------

# A program whose syncs say what must survive; it ends by a cut at the call that the test chose.
SCRIPT = r"""
import os, sys
root = sys.argv[1]
os.mkdir(root + "/d"); top = os.open(root, os.O_RDONLY); os.fsync(top)
d = os.open(root + "/d", os.O_RDONLY)
a = os.open(root + "/d/a", os.O_RDWR | os.O_CREAT, 0o600)
os.pwrite(a, b"1" * 4096, 0); os.fdatasync(a); os.fsync(d)
os.pwrite(a, b"2" * 4096, 0); os.pwrite(a, b"3" * 4096, 4096)
meta = os.open(root + "/d/a", os.O_WRONLY | os.O_DSYNC); os.pwrite(meta, b"4" * 512, 1024)
b = os.open(root + "/d/b", os.O_RDWR | os.O_CREAT, 0o600)
os.pwrite(b, b"5" * 1000, 0); os.fsync(b)
os.rename(root + "/d/a", root + "/d/c")
os.open(root + "/d/e", os.O_RDWR | os.O_CREAT, 0o600); os.unlink(root + "/d/b")
print("before the cut", flush=True)
os.fsync(d)
"""


def cut_script(tmp_path, **settings):
    root = tmp_path / "root"
    root.mkdir()
    done = subprocess.run([sys.executable, "-S", "-c", SCRIPT, str(root)], env=os.environ | layer_env(root, **settings), capture_output=True, text=True)
    assert not root.with_name("root.stash").exists()
    return root / "d", done


def calls_of_script(tmp_path):
    _, done = cut_script(tmp_path)
    assert done.returncode == 0, done.stderr
    return int(done.stderr.rsplit("after ", 1)[1].split()[0])


def test_layer_keeps_what_was_synced_and_risks_the_rest(tmp_path):
    """Forty images of one program: each is possible, and together they show every fate."""
    (tmp_path / "whole").mkdir()
    last = calls_of_script(tmp_path / "whole")
    seen = set()
    for seed in range(40):
        (tmp_path / str(seed)).mkdir()
        d, done = cut_script(tmp_path / str(seed), seed=seed, after=last, unordered=seed % 2)
        assert done.returncode == EXIT_CUT and "before the cut" in done.stdout, done
        names = {path.name for path in d.iterdir()}
        assert len(names & {"a", "c"}) == 1, "a synced file is there under one of its names"
        data = (d / ("a" if "a" in names else "c")).read_bytes()
        assert data[1024:1536] == b"4" * 512, "what was written through O_DSYNC is durable"
        first = data[:1024] + data[1536:4096]
        assert set(first) <= set(b"12") and set(data[4096:]) <= {0, 0x33}
        assert all(len(set(data[at:at + 512])) == 1 for at in range(0, len(data), 512)), "a sector is whole"
        assert 4096 <= len(data) <= 8192
        if not seed % 2:
            assert names in ({"a"}, {"a", "b"}, {"b", "c"}, {"b", "c", "e"}, {"c", "e"}), "names change in order"
        if "b" in names:
            assert (d / "b").read_bytes() == b"5" * 1000, "a synced file whose removal was not"
        seen |= {"moved" if "c" in names else "unmoved", "e" if "e" in names else "no e", "b" if "b" in names else "no b",
                 {b"1": "dropped", b"2": "kept"}.get(bytes(set(first)), "torn"), "longer" if len(data) > 4096 else "not longer"}
    assert seen == {"moved", "unmoved", "e", "no e", "b", "no b", "dropped", "kept", "torn", "longer", "not longer"}


def test_layer_without_syncs(tmp_path):
    """Syncs that only claim success make nothing durable, not even the folder."""
    (tmp_path / "whole").mkdir()
    last = calls_of_script(tmp_path / "whole")
    exists = set()
    for seed in range(12):
        (tmp_path / str(seed)).mkdir()
        d, done = cut_script(tmp_path / str(seed), seed=seed, after=last, nosync=1)
        assert done.returncode == EXIT_CUT, done
        exists.add(d.exists())
    assert exists == {True, False}


@pytest.mark.parametrize("error, words", [("EIO", "Input/output error"), ("ENOSPC", "No space left")])
def test_layer_fails_a_call(tmp_path, error, words):
    d, done = cut_script(tmp_path, fault=f"1:{error}")
    assert done.returncode == 1 and words in done.stderr and not d.exists()


@pytest.mark.parametrize("value", ["", "x", "1", "1:EWHAT", "0:EIO"])
def test_layer_refuses_a_setting(tmp_path, value):
    _, done = cut_script(tmp_path, fault=value)
    assert done.returncode == 70 and "FAULT_AT" in done.stderr


# --- the collector -----------------------------------------------------------------------------------

class History:
    """What was sent and acked on one disk."""

    def __init__(self):
        self.acked, self.sent = {}, 0

    def n_acked(self):
        return sum(map(len, self.acked.values()))


def load_and_cut(disk, chance, seed, history, **settings):
    """One run that ends by a cut: at a call, which may be during the start, or at a moment under load."""
    at_call = chance.randrange(1, 400) if chance.random() < 0.5 else None
    collector = disk.run(wait=False, seed=seed, after=at_call, sync_us=chance.choice((300, 3000, 20000)), **settings)
    try:
        collector.wait_ready()
    except AssertionError:
        if collector.is_running():
            raise
    load = None
    if collector.is_running():
        load = Load(collector, seed)
        until(lambda: load.acked or not collector.is_running(), 20, "the first ack")
        threading.Event().wait(chance.uniform(0, 2))  # a random moment, not a barrier
    collector.cut()
    if load:
        load.stop()
        history.acked |= load.acked
        history.sent += load.sent
    return collector.tally(), load.acked if load else {}


def judge(disk, history, acked):
    """Everything that is wrong with the image and with what the collector makes of it."""
    found = check_files(disk.copy("image"))
    try:
        collector = disk.plain()
    except AssertionError as error:
        return found + [f"it does not start: {error}"]
    found += check_acked(collector, acked)
    found += check_ledger(collector.ledger(), history.n_acked(), history.sent)
    found += check_ledger(collector.settle(), history.n_acked(), history.sent)
    collector.stop()
    return found + check_files(disk.data)


def judge_end(disk, history):
    collector = disk.plain()
    ledger = collector.settle()
    found = check_acked(collector, history.acked)
    collector.stop()
    return found + check_dump(disk.data, ledger["stored"], history.acked)


@pytest.mark.parametrize("unordered", [0, 1], ids=["names in order", "names in any order"])
def test_acked_spans_survive_power_cuts(tmp_path, unordered):
    chance = random.Random(SEED)
    print(f"seed {SEED} (MGTEST_POWERCUT_SEED)")
    totals = {"kept": 0, "torn": 0, "dropped": 0, "names_kept": 0, "undone": 0, "acked": 0}
    for begin in range(0, ROUNDS, CHUNK):
        disk, history = Disk(tmp_path / f"disk-{begin}").begin(), History()
        try:
            for number in range(begin, min(begin + CHUNK, ROUNDS)):
                tally, acked = load_and_cut(disk, chance, SEED + number, history, unordered=unordered)
                found = judge(disk, history, acked)
                assert not found, f"round {number}, seed {SEED}, {tally}:\n" + "\n".join(found)
                totals = {key: value + tally.get(key, 0) for key, value in totals.items()}
            found = judge_end(disk, history)
            assert not found, f"after round {number}, seed {SEED}:\n" + "\n".join(found)
            totals["acked"] += history.n_acked()
        finally:
            disk.end()
    print(f"power cuts: {ROUNDS} rounds, {totals}")
    assert totals["acked"] > 0 and (ROUNDS < 20 or totals["torn"] + totals["dropped"] > 0), "the cuts took nothing: the test proved nothing"


def test_a_first_start_survives(tmp_path):
    """The folders themselves are durable before the first ack, whatever the cut does to names."""
    found = []
    for seed in range(8):
        disk, history = Disk(tmp_path / f"disk-{seed}"), History()
        collector = disk.run(seed=seed)
        load = Load(collector, seed)
        until(lambda: len(load.acked) > 2, 20, "three acks")
        collector.cut()
        load.stop()
        history.acked, history.sent = load.acked, load.sent
        after = disk.plain()
        found += [f"seed {seed}, {collector.tally()}: {sentence}" for sentence in check_acked(after, history.acked)]
        found += check_ledger(after.settle(), history.n_acked(), history.sent)
        after.stop()
    assert not found, "\n".join(found)


def test_lying_syncs_are_found_out(tmp_path):
    """The proof of the test above: a disk that ignores syncs loses acked spans, and the judge says so."""
    chance = random.Random(SEED)
    for number in range(UNSYNCED_ROUNDS):
        disk, history = Disk(tmp_path / f"disk-{number}").begin(), History()
        collector = disk.run(seed=SEED + number, nosync=1)
        load = Load(collector, number)
        until(lambda: len(load.acked) > 5, 20, "five acks")
        threading.Event().wait(chance.uniform(0, 1))  # a random moment, not a barrier
        collector.cut()
        load.stop()
        history.acked, history.sent = load.acked, load.sent
        found = judge(disk, history, load.acked)
        disk.end()
        if any("lost" in sentence or "does not start" in sentence for sentence in found):
            return
    raise AssertionError(f"{UNSYNCED_ROUNDS} cuts without one sync lost nothing: the layer or the judge is blind")
