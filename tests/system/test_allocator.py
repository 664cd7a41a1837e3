"""Freed memory is kept where the C library is glibc."""

import platform

import pytest

FAULTS = """
import resource, sys
import numpy as np
from lesions.system import allocator
if sys.argv[1] == "keep":
    assert allocator.keep_memory()
np.ones(20_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(20_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_large_arrays_reuse_freed_memory(python):
    own, kept = (int(python(FAULTS, setting)) for setting in ("own", "keep"))
    assert kept < own / 5
