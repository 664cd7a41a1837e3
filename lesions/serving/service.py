"""The network behind an address: `python -m lesions serve`.

One thread asks the network, one picture after the other, because a second one would share the
same cores; requests wait in a queue of fixed length, beyond which the answer is 503. Pictures are
held in memory only.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Annotated, Literal

import cv2
from fastapi import FastAPI, File, HTTPException, Query, Response, UploadFile
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.formparsers import MultiPartParser

from lesions import classes, explanation
from lesions.serving.answers import MAXIMUM_BYTES, Answer, AnswerDesk

# A picture, and what the form around it adds.
BODY_BYTES = MAXIMUM_BYTES + 100_000
HEARD_BYTES = 5 * BODY_BYTES
SECONDS_TO_FINISH = 30
FULL = "Too many pictures wait for the network; send this one again in a few seconds."
TOO_LARGE = f"The picture is over the limit of {MAXIMUM_BYTES // 1_000_000} MB; reduce it first."


class Health(BaseModel):
    """Whether the service can answer, and which network does."""

    status: Literal["ok"]
    architecture: str
    image_size: int = Field(description="side of the network's input in pixels")
    run: str | None = Field(description="the training that it came from")
    waiting: int = Field(description="pictures that are being answered or wait")
    unjudged: str = Field(description="why pictures cannot be compared with training; else empty")
    notice: str


class Prediction(BaseModel):
    """What the network says to one picture."""

    image: str
    predicted: str = Field(description="code of the class that is named")
    name: str
    description: str
    probabilities: dict[str, float] = Field(description="calibrated, by code; they sum to 1")
    malignant: float = Field(description="summed probability of the malignant classes")
    warnings: list[str] = Field(description="what speaks against believing the answer")
    testing: list[str] = Field(description="what testing says about such an answer")
    notice: str


class Problem(BaseModel):
    """Why there is no answer, in one sentence."""

    detail: str


class Door:
    """Lets in a limited number of pictures, each of limited size, before they fill the memory.

    Whoever is refused is heard out, unread, so that the refusal reaches them: a client that is
    cut off while sending reports a broken connection instead.
    """

    def __init__(self, app, places: int):
        self.app, self.places = app, places

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http" or scope["method"] != "POST":
            return await self.app(scope, receive, send)
        state = scope["app"].state
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        refusal = None
        if state.waiting >= self.places:
            refusal = JSONResponse({"detail": FULL}, 503, {"Retry-After": "5"})
        elif announced.isdigit() and int(announced) > BODY_BYTES:
            refusal = JSONResponse({"detail": TOO_LARGE}, 413)
        if refusal is not None:
            await _hear_out(receive)
            return await refusal(scope, receive, send)
        state.waiting += 1
        try:
            await self.app(scope, _counted(receive), send)
        finally:
            state.waiting -= 1


def _counted(receive):
    """Give `receive`, ending with 413 where the body turns out larger than it may be."""
    received = 0

    async def counted():
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > BODY_BYTES:
            raise HTTPException(413, TOO_LARGE)
        return message

    return counted


async def _hear_out(receive) -> None:
    heard, more = 0, True
    while more and heard < HEARD_BYTES:
        message = await receive()
        heard += len(message.get("body", b""))
        more = message.get("more_body", False)


PROBLEMS = {
    400: {"model": Problem, "description": "The form cannot be read."},
    413: {"model": Problem, "description": "The picture has too many bytes."},
    415: {"model": Problem, "description": "The file is not a picture that can be read."},
    503: {"model": Problem, "description": "Too many pictures wait; come back soon."},
}
Picture = Annotated[UploadFile, File(description="a .jpg or .png file")]


def make_service(desk: AnswerDesk, queue_length: int = 64) -> FastAPI:
    """Make the service.

    Args:
        desk: The network.
        queue_length: How many pictures may be answered and wait at a time.

    Returns:
        An ASGI application with /predict, /explain, /health and /docs.
    """
    thread = ThreadPoolExecutor(1, "network")

    @asynccontextmanager
    async def lifespan(_):
        yield
        thread.shutdown()

    async def ask(function, *arguments):
        return await asyncio.get_running_loop().run_in_executor(thread, function, *arguments)

    # Starlette writes a larger upload to a temporary file; here none is larger.
    MultiPartParser.spool_max_size = BODY_BYTES
    service = FastAPI(title="Skin lesions", description=classes.NOTICE, lifespan=lifespan)
    service.state.waiting = 0
    service.add_middleware(Door, places=queue_length)

    @service.get("/health")
    async def health() -> Health:
        """Say whether the service can answer, and which network does."""
        details = desk.classifier.details
        return Health(
            status="ok",
            architecture=details["architecture"],
            image_size=details["image_size"],
            run=details.get("run"),
            waiting=service.state.waiting,
            unjudged=desk.unjudged,
            notice=classes.NOTICE,
        )

    @service.post("/predict", responses=PROBLEMS)
    async def predict(file: Picture) -> Prediction:
        """Answer one picture: class, calibrated probabilities, warnings."""
        content = await file.read()
        answer = await ask(_answer, desk, content, file.filename or "the picture")
        return _prediction(desk, answer)

    images = {200: {"content": {"image/png": {}}, "description": "The overlay."}}

    @service.post("/explain", responses={**PROBLEMS, **images}, response_class=Response)
    async def explain_picture(
        file: Picture,
        target: Annotated[
            Literal[classes.CODES] | None, Query(description="the class; default: the one named")
        ] = None,
        opacity: Annotated[float, Query(ge=0, le=1)] = 0.45,
    ) -> Response:
        """Lay a Grad-CAM heat map over the picture's centre square, as PNG."""
        content = await file.read()
        name = file.filename or "the picture"
        drawn = await ask(_overlay, desk, content, name, target, opacity)
        return Response(drawn, media_type="image/png", headers={"X-Notice": classes.NOTICE})

    return service


def _answer(desk: AnswerDesk, content: bytes, name: str) -> Answer:
    try:
        return desk.answer(content, name)
    except ValueError as error:
        status = 413 if len(content) > MAXIMUM_BYTES else 415
        raise HTTPException(status, str(error)) from error


def _overlay(desk: AnswerDesk, content: bytes, name: str, target, opacity: float) -> bytes:
    answer = _answer(desk, content, name)
    picture = explanation.overlay(answer.picture, desk.heat_map(answer, target), opacity)
    return cv2.imencode(".png", picture[..., ::-1])[1].tobytes()


def _prediction(desk: AnswerDesk, answer: Answer) -> Prediction:
    lesion_class = classes.CLASSES[classes.CODES.index(answer.predicted)]
    record = desk.record
    return Prediction(
        image=answer.name,
        predicted=answer.predicted,
        name=lesion_class.name,
        description=lesion_class.description,
        probabilities=dict(zip(classes.CODES, answer.probabilities.tolist(), strict=True)),
        malignant=answer.malignant,
        warnings=list(answer.warnings),
        testing=record.sentences(answer.predicted, answer.probability) if record else [],
        notice=classes.NOTICE,
    )


def serve(desk: AnswerDesk, host: str, port: int, queue_length: int) -> None:
    """Serve until SIGTERM or Ctrl-C, then finish the pictures that wait."""
    import uvicorn

    uvicorn.run(
        make_service(desk, queue_length),
        host=host,
        port=port,
        log_level="warning",
        timeout_graceful_shutdown=SECONDS_TO_FINISH,
    )
