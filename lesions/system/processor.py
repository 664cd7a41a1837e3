"""The processor: its name, the cores that may be used, and whether it multiplies bfloat16."""

import os
import platform
from pathlib import Path

CAN_BE_LIMITED = hasattr(os, "sched_getaffinity")  # not on macOS or Windows


def cores() -> int:
    """Count the cores that this process may use, which `taskset` may have limited."""
    return len(os.sched_getaffinity(0)) if CAN_BE_LIMITED else os.cpu_count()


def share(number: int, shares: int) -> list[int]:
    """List the cores of one of equal shares, from 0 on, for `sched_setaffinity`.

    It is empty where there are too few, or no process can be kept to a core.
    """
    return sorted(os.sched_getaffinity(0))[number::shares] if CAN_BE_LIMITED else []


def name() -> str:
    """Return the processor's name as its maker writes it, else its architecture."""
    for line in _cpu_info().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def has_bfloat16() -> bool:
    """Check whether the processor multiplies bfloat16 in hardware."""
    return any(flag in _cpu_info() for flag in ("avx512_bf16", "amx_bf16"))


def _cpu_info() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text() if path.exists() else ""
