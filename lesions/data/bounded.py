"""Decode pictures of strangers in processes that can be ended.

A decoder written in C answers to nobody while it works. In a process of its own it has a limit of
time and of memory, and neither a service nor its end ever waits for it.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np

from lesions.data.decoding import decode_image
from lesions.system.console import send_to_nowhere
from lesions.system.folders import REPOSITORY

WORKERS = 2
START_SECONDS = 120  # a busy machine imports slowly
NOT_STARTED = (
    "The process that decodes pictures does not start; the log has its error, and a machine with "
    "more memory or less to do may start it."
)
EXTRA_MEMORY = 3 * 2**30  # bytes; 100 million pixels with a colour profile need half of it

_REQUEST = struct.Struct("<dQ")  # seconds, bytes of the picture
_LENGTH = struct.Struct("<I")


@functools.cache
def decoders() -> Decoders:
    """Return the decoders of this process, which end with it."""
    found = Decoders(WORKERS)
    atexit.register(found.close)
    return found


class Decoders:
    """A few decoding processes that take turns; each is started when first needed, and kept."""

    def __init__(self, workers: int):
        """Prepare for at most `workers` processes; none is started yet."""
        self._workers = workers
        self._places = threading.BoundedSemaphore(workers)
        self._idle: list[_Decoder] = []

    def start(self) -> None:
        """Start all processes that are not there yet, so that the first picture does not wait."""
        while len(self._idle) < self._workers:
            self._idle.append(_Decoder())

    def decode(self, data: bytes, seconds: float, name="the image") -> np.ndarray:
        """Decode the bytes of one photograph within a limit of time.

        One that takes too long is ended with its process.

        Args:
            data: Contents of a .jpg or .png file.
            seconds: How long decoding may take; waiting and starting a process do not count.
            name: How an error message calls the picture.

        Returns:
            uint8, (height, width, 3), RGB 0-255.

        Raises:
            ValueError: As `decoding.decode_image`, and if it takes longer or needs too much
                memory.
            ChildProcessError: If the process does not start.
        """
        with self._places:
            decoder = self._take()
            try:
                return decoder.decode(data, seconds, name)
            finally:
                if decoder.failed:
                    decoder.close()
                else:
                    self._idle.append(decoder)

    def _take(self) -> _Decoder:
        with contextlib.suppress(IndexError):  # another thread may take the last one
            while not (decoder := self._idle.pop()).lives():
                decoder.close()
            return decoder
        return _Decoder()

    def close(self) -> None:
        """End the processes that wait for work."""
        while self._idle:
            self._idle.pop().close()


class _Decoder:
    """One process that decodes pictures, one after the other."""

    def __init__(self):
        paths = [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        code = "from lesions.data import bounded; bounded._work()"
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
            )
        except OSError as error:  # too little memory, or too many processes
            raise ChildProcessError(NOT_STARTED) from error
        self.failed = False
        with self._ends_after(START_SECONDS):
            ready = self._process.stdout.read(1)
        if not ready:
            self.close()
            raise ChildProcessError(NOT_STARTED)

    def decode(self, data: bytes, seconds: float, name) -> np.ndarray:
        self.failed = True  # until the answer is whole
        with self._ends_after(seconds) as late:
            try:
                self._process.stdin.write(_REQUEST.pack(seconds, len(data)) + data)
                self._process.stdin.flush()
                answer = json.loads(self._read(_LENGTH.unpack(self._read(_LENGTH.size))[0]))
                content = self._read(int(np.prod(answer.get("shape", [0]))))
            except (OSError, EOFError) as error:
                slow = f"takes longer than {seconds:g} s"
                why = slow if late.is_set() else "needs too much memory"
                raise ValueError(
                    f"{name} {why} to decode; save it again as an ordinary .jpg file."
                ) from error
        self.failed = late.is_set()  # it may have been ended right after its answer
        for message in answer["warnings"]:
            warnings.warn(message.replace(_PLACEHOLDER, str(name)), stacklevel=3)
        if "error" in answer:
            raise ValueError(answer["error"].replace(_PLACEHOLDER, str(name)))
        return np.frombuffer(content, np.uint8).reshape(answer["shape"])

    def lives(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()

    @contextlib.contextmanager
    def _ends_after(self, seconds: float):
        late = threading.Event()

        def end() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            yield late
        finally:
            timer.cancel()
            timer.join()

    def _read(self, length: int) -> bytearray:
        content = bytearray(length)
        if self._process.stdout.readinto(content) != length:
            raise EOFError
        return content


_PLACEHOLDER = "\x00picture\x00"


def _work() -> None:
    """Decode what comes by standard input until it ends: the other process's part."""
    answers = os.fdopen(os.dup(1), "wb")
    # Nothing that a library prints may get among the answers.
    for descriptor in (1, 2):
        send_to_nowhere(descriptor)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _limit_memory()
    answers.write(b"!")
    answers.flush()
    requests = sys.stdin.buffer
    while len(start := requests.read(_REQUEST.size)) == _REQUEST.size:
        seconds, length = _REQUEST.unpack(start)
        data = requests.read(length)
        if hasattr(signal, "setitimer"):
            # Should the other process die, this one does not outlive its limit.
            signal.setitimer(signal.ITIMER_REAL, seconds + 1)
        header, content = _answer(data)
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
        encoded = json.dumps(header).encode()
        answers.write(_LENGTH.pack(len(encoded)) + encoded)
        answers.write(content)
        answers.flush()


def _answer(data: bytes) -> tuple[dict, memoryview | bytes]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            image = decode_image(data, _PLACEHOLDER)
        except ValueError as error:
            return {"error": str(error), "warnings": []}, b""
    ours = [str(warning.message) for warning in caught if warning.category is UserWarning]
    return {"shape": image.shape, "warnings": ours}, image.data


def _limit_memory() -> None:
    """Let this process have a limited amount of memory beyond what its modules take."""
    sizes = Path("/proc/self/statm")
    if not sizes.exists():
        return
    import resource

    own = int(sizes.read_text().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (own + EXTRA_MEMORY, hard))
