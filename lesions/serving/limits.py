"""What a client may ask of the service: how large a body, how long in sending, how many at once.

uvicorn's own `limit_concurrency` counts every connection, so clients that send half a request
would fill it and lock everybody out; here only pictures that have arrived whole count as waiting.
"""

import asyncio

from fastapi.responses import JSONResponse
from uvicorn.protocols.http.h11_impl import H11Protocol

from lesions.serving.assessment import MAXIMUM_BYTES

# A picture, and what the form around it adds.
BODY_BYTES = MAXIMUM_BYTES + 100_000
# A larger body is read to its end, unkept, so that the refusal reaches a client that is still
# sending; one that never ends is cut off here.
DISCARDED_BYTES = 5 * BODY_BYTES
# All bodies that are being received or wait, together.
HELD_BYTES = 64 * BODY_BYTES
HEAD_SECONDS = 8
SILENT_SECONDS = 8
BODY_SECONDS = 60
FULL = "Too many pictures wait for the network; send this one again in a few seconds."
TOO_LARGE = f"The picture is over the limit of {MAXIMUM_BYTES // 1_000_000} MB; reduce it first."
TOO_SLOW = (
    f"The picture did not arrive completely: nothing came for {SILENT_SECONDS} s, or it took "
    f"longer than {BODY_SECONDS} s; send it again."
)


class RequestLimits:
    """ASGI middleware that receives a picture whole before it counts as waiting."""

    def __init__(self, app, places: int):
        """Wrap `app`; at most `places` pictures are answered and wait at a time."""
        self.app, self.places, self.held = app, places, 0

    async def __call__(self, scope, receive, send):
        """Handle one request."""
        if scope["type"] != "http" or scope["method"] != "POST":
            return await self.app(scope, receive, send)
        body = bytearray()
        try:
            refusal = await self._receive(body, receive)
            state = scope["app"].state
            if refusal is None and state.waiting >= self.places:
                refusal = _refusal(503, FULL)
            if refusal is not None:
                return await refusal(scope, receive, send)
            state.waiting += 1
            # Kept by `replay` alone, until it is read.
            replay, size = _replay(bytes(body), receive), len(body)
            body.clear()
            try:
                await self.app(scope, replay, send)
            finally:
                state.waiting -= 1
                self.held -= size
        finally:
            self.held -= len(body)

    async def _receive(self, body: bytearray, receive) -> JSONResponse | None:
        """Fill `body`; returns a refusal where it is too large, too slow or one too many."""
        clock = asyncio.get_running_loop().time
        end, size, more, full = clock() + BODY_SECONDS, 0, True, False
        while more:
            try:
                message = await asyncio.wait_for(receive(), min(SILENT_SECONDS, end - clock()))
            except TimeoutError:
                return _refusal(408, TOO_SLOW)
            if message["type"] == "http.disconnect":
                return _refusal(408, TOO_SLOW)  # nobody reads it
            part = message.get("body", b"")
            size, more = size + len(part), message.get("more_body", False)
            full = full or self.held + len(part) > HELD_BYTES
            if size > DISCARDED_BYTES:
                break
            if size <= BODY_BYTES and not full:
                body += part
                self.held += len(part)
        if size > BODY_BYTES:
            return _refusal(413, TOO_LARGE)
        return _refusal(503, FULL) if full else None


def _refusal(status: int, sentence: str) -> JSONResponse:
    headers = {"Retry-After": "5"} if status == 503 else {"Connection": "close"}
    return JSONResponse({"detail": sentence}, status, headers)


def _replay(body: bytes, receive):
    """Return a `receive` that hands out a whole body first."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay():
        return waiting.pop() if waiting else await receive()

    return replay


class PromptProtocol(H11Protocol):
    """HTTP/1.1 that drops a connection whose next request's head does not arrive in time."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport) -> None:
        """Expect the first head."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(HEAD_SECONDS, self._drop)

    def data_received(self, data: bytes) -> None:
        """Expect the rest of a head that began; a body's time is `RequestLimits`'s concern."""
        super().data_received(data)
        if not self._expects_head():
            self._forget_timer()
        elif self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self._drop)

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing any more."""
        self._forget_timer()
        super().connection_lost(exc)

    def _expects_head(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _drop(self) -> None:
        self._timer = None
        if self._expects_head():
            self.transport.close()
