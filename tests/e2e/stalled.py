"""stalled.py - a store that cannot commit for as long as a test says, as when its disk hangs.

LMDB lets one write transaction run at a time, over all processes. So a transaction of ours, begun by LMDB's own library on the partition that is
open, holds up the unchanged collector's next commit. Readers that come after it wait as well; what is in memory is answered."""

import contextlib
import ctypes
import ctypes.util

NOSUBDIR = 0x4000  # as lib/kv opens it: the path is the file


@contextlib.contextmanager
def stalled(data_dir):
    """While this lasts no commit of the store in data_dir ends. Its thread must stay the same: LMDB's lock has an owner."""
    lmdb = ctypes.CDLL(ctypes.util.find_library("lmdb"))
    lmdb.mdb_strerror.restype = ctypes.c_char_p

    def call(name, *arguments):
        code = getattr(lmdb, name)(*arguments)
        assert code == 0, f"{name}: {lmdb.mdb_strerror(code).decode()}"
    env, txn = ctypes.c_void_p(), ctypes.c_void_p()
    partition = max((data_dir / "store").glob("*.mdb"), key=lambda path: int(path.stem))
    call("mdb_env_create", ctypes.byref(env))
    try:
        call("mdb_env_open", env, str(partition).encode(), ctypes.c_uint(NOSUBDIR), 0o600)
        call("mdb_txn_begin", env, None, 0, ctypes.byref(txn))
        try:
            yield
        finally:
            lmdb.mdb_txn_abort(txn)
    finally:
        lmdb.mdb_env_close(env)
