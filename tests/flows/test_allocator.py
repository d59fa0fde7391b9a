import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import ctypes, os, sys, threading
from flows.allocator import share_one_arena
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
if sys.argv[1] == "shared":
    assert share_one_arena() and os.environ["MALLOC_ARENA_MAX"] == "1"
for _ in range(3):
    thread = threading.Thread(target=lambda: libc.malloc(10_000))
    thread.start()
    thread.join()
file = libc.fopen(sys.argv[2].encode(), b"w")
libc.malloc_info(0, ctypes.c_void_p(file))
libc.fclose(ctypes.c_void_p(file))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs glibc")
def test_threads_take_memory_from_one_arena(tmp_path: Path) -> None:
    arenas = {}
    # A command that ran in this process earlier may have set it, and children inherit it.
    environment = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    for how in ("shared", "plain"):
        listing = tmp_path / how
        command = [sys.executable, "-c", CODE, how, str(listing)]
        subprocess.run(command, check=True, env=environment)
        arenas[how] = listing.read_text().count("<heap nr=")
    assert arenas["shared"] == 1
    assert arenas["plain"] > 1
