"""Fixtures: `collector` is one shared by a file's tests, `make` starts one as the test wants it."""

import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from harness import IS_SANITIZED, PROGRAM, Collector  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "core: also run with sanitizers")
    if not PROGRAM.exists():
        raise pytest.UsageError(f"{PROGRAM} is not built")


@pytest.fixture(scope="module")
def collector(tmp_path_factory):
    with Collector(tmp_path_factory.mktemp("data") / "data") as it:
        yield it


@pytest.fixture
def make(tmp_path):
    """make(**sets) starts a collector on the test's own data directory; all are ended after the test."""
    made = []  # and what is started again on their data

    def start(sets=None, name="data", wait=True, **more):
        it = Collector(tmp_path / name, sets, **more)
        it.family = made
        made.append(it)
        return it.start(wait)

    yield start
    for it in made:
        if it.is_running():
            it.process.kill()
            it.process.wait()


@pytest.fixture
def unsanitized():
    if IS_SANITIZED:
        pytest.skip("memory and speed are not judged under a sanitizer")


@pytest.fixture(scope="session")
def is_long():
    return bool(os.environ.get("MGTEST_LONG"))
