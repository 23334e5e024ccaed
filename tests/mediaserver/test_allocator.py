"""Freed blocks go back to the system."""

import subprocess
import sys

import pytest

# In a process of its own: the setting is for good. A freed block of 16 MB would raise the threshold, so that the next
# ones came from the heap, where the block above them would keep them in memory.
SCRIPT = """
import ctypes
from mediaserver.allocator import return_large_blocks

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

if not return_large_blocks():
    print("unsupported")
    raise SystemExit
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
size = 16_000_000
libc.free(libc.malloc(size))
blocks = []
for _ in range(8):
    block = libc.malloc(size)
    ctypes.memset(block, 1, size)
    blocks.append((block, libc.malloc(1_000)))
before = resident()
for block, _ in blocks:
    libc.free(block)
print(before - resident())
"""


def test_freed_large_blocks_leave_the_process() -> None:
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    if run.stdout.strip() == "unsupported":
        pytest.skip("another C library than glibc")
    assert int(run.stdout) > 100_000_000
