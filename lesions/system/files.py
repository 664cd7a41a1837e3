"""Writing files so that nobody ever meets half of one."""

import contextlib
import errno
import json
import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

# What reading an .npz file raises where it is missing, damaged or another file.
DAMAGED_NPZ = (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error)
# What a mounted folder that knows no locks answers; there, nobody else is expected.
WITHOUT_LOCKS = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK)


def refuse_special(path) -> None:
    """Refuse to put a file in the place of a device, a named pipe or a socket, such as /dev/null.

    Raises:
        ValueError: If `path` is one.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # nothing is there yet
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise ValueError(f"{path} is a device or a pipe, not a file; name another --output.")


def lock(file) -> None:
    """Lock an open file against other processes until it is closed, where the system has locks.

    The system lets go of the lock even of a killed process.

    Raises:
        BlockingIOError: If another process holds the lock.
    """
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # Windows
        return
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise


def read_csv(path, **options):
    """Read a CSV as `pandas.read_csv`, also refusing a first row that is longer than the header.

    Of such a row pandas makes an index, and moves every cell one column to the left.

    Raises:
        pandas.errors.ParserError: If a row is longer than the header.
    """
    import pandas as pd  # many commands do without it

    table = pd.read_csv(path, **options)
    if not isinstance(table.index, pd.RangeIndex):
        raise pd.errors.ParserError("The first row has more cells than the header.")
    return table


def write_csv(table, path, digits: int = 6) -> Path:
    """Write a DataFrame without its index as CSV, and return the path."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, float_format=f"%.{digits}f", lineterminator="\n")
    return Path(path)


def write_json(content, path) -> Path:
    """Write what JSON can hold, indented by one, and return the path."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return Path(path)


def replace_folder(new: Path, final: Path) -> None:
    """Put a folder in the place of another, which is never seen half deleted.

    Where that fails, the other one is as it was.
    """
    old = final.with_name(f".{final.name[:200]}.replaced")
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        os.replace(final, old)
    try:
        os.replace(new, final)
    except OSError:
        if old.exists():
            os.replace(old, final)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def replacing(path) -> Iterator[Path]:
    """Write a file or folder under a temporary name, and rename it once it is whole.

    Args:
        path: Where the file or folder goes, or a link to it; its parents are made. Where the
            block fails, what was there stays.

    Yields:
        The temporary path, which the block must create. It lies in the same folder and has the
        same suffix, as writers that choose their format by the suffix need.

    Raises:
        OSError: If it cannot be written; it names `path`, not the temporary one.
        ValueError: As `refuse_special`.
    """
    path = Path(path)
    refuse_special(path)
    if path.is_symlink():
        path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    # Short, because a file name has 255 bytes at most and `path` may use them all.
    temporary = path.with_name(f".{uuid4().hex[:12]}.tmp{path.suffix[:16]}")
    try:
        yield temporary
        if temporary.is_dir() and path.is_dir():
            replace_folder(temporary, path)
        else:
            os.replace(temporary, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OSError(
                f"The disk is full, so {path} was not written; free some space in {path.parent} "
                "and run the command again."
            ) from error
        if error.filename == str(temporary):
            error.filename = str(path)
        raise
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)
