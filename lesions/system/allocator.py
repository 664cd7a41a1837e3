"""Keep the memory of large arrays in the process, instead of asking the system for it anew."""

import ctypes

# From glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4


def keep_memory() -> bool:
    """Let the C library reuse freed memory; call it once, at the start of a program.

    By default glibc maps every large block anew and returns it after use, so that TensorFlow's
    tensors cost page faults in every step: up to a fifth of a deep network's processor time
    (benchmarks/allocator.py). Afterwards, freed blocks of any size are kept for the next step.

    Returns:
        Whether it is done; only glibc can.
    """
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 - other libraries lack this name
    except (AttributeError, OSError, TypeError):  # TypeError: Windows has no library None
        return False
    return bool(library.mallopt(M_MMAP_MAX, 0) and library.mallopt(M_TRIM_THRESHOLD, -1))
