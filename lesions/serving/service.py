"""The network behind an address: `python -m lesions serve`.

One thread asks the network, one picture after the other, because a second one would share the
same cores; a few others decode what waits. Pictures are held in memory only.
"""

import asyncio
import functools
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Annotated, Literal

import cv2
import fastapi
import uvicorn
from fastapi import Form, HTTPException, Query, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import BaseModel, Field
from starlette.formparsers import MultiPartParser

from lesions import classes, explanation
from lesions.data import Patient
from lesions.serving.assessment import MAXIMUM_BYTES, Assessment, Assessor
from lesions.serving.limits import BODY_BYTES, PromptProtocol, RequestLimits

DECODING_THREADS = 2
SECONDS_TO_FINISH = 30


class Health(BaseModel):
    """Whether the service can answer, and which network does."""

    status: Literal["ok"]
    architecture: str
    image_size: int = Field(description="side of the network's input in pixels")
    run: str | None = Field(description="the training that it came from")
    waiting: int = Field(description="pictures that are being answered or wait")
    familiarity_problem: str = Field(
        description="why pictures cannot be compared with those of the training; else empty"
    )
    notice: str


class Prediction(BaseModel):
    """What the network predicts for one picture."""

    image: str
    predicted: str = Field(description="code of the class by the decision rule")
    name: str
    description: str
    probabilities: dict[str, float] = Field(description="by code; they sum to 1")
    malignant: float = Field(description="summed probability of the malignant classes")
    warnings: list[str] = Field(description="what speaks against believing the answer")
    patient: str = Field(description="what was used of age, sex and site; else empty")
    testing: list[str] = Field(description="how such answers did in testing")
    notice: str


class Problem(BaseModel):
    """Why there is no answer, in one sentence."""

    detail: str


PROBLEMS = {
    400: {"model": Problem, "description": "The form cannot be read."},
    408: {"model": Problem, "description": "The picture did not arrive completely in time."},
    413: {"model": Problem, "description": "The picture has too many bytes."},
    415: {"model": Problem, "description": "The file is not a picture that can be read."},
    422: {"model": Problem, "description": "A field is missing or makes no sense."},
    503: {"model": Problem, "description": "Too many pictures wait; come back soon."},
}
OVERLAYS = {200: {"content": {"image/png": {}}, "description": "The overlay."}}
Picture = Annotated[UploadFile, fastapi.File(description="a .jpg or .png file")]
Target = Annotated[
    Literal[classes.CODES] | None, Query(description="the class; default: the predicted one")
]
Opacity = Annotated[float, Query(ge=0, le=1)]
FIELDS = ("file", "age", "sex", "site")
PARAMETERS = ("target", "opacity")


async def given_patient(
    request: fastapi.Request,
    age: Annotated[str, Form(description="years; empty where unknown, as are the others")] = "",
    sex: Annotated[str, Form(description="female or male")] = "",
    site: Annotated[str, Form(description="where on the body, such as back")] = "",
) -> Patient:
    """Read the optional fields of a form; what makes no sense is a 422."""
    try:
        _check_names("field", await request.form(), FIELDS)
        known = PARAMETERS if request.url.path.endswith("/explain") else ()
        _check_names("query parameter", request.query_params, known)
        return Patient.read(age, sex, site)
    except ValueError as error:
        raise HTTPException(422, str(error)) from error


def _check_names(kind: str, sent, known: tuple[str, ...]) -> None:
    """Raise ValueError where a name is unknown or there twice: none is passed over in silence."""
    names = [name for name, _ in sent.multi_items()]
    for name in names:
        if name not in known:
            listed = ", ".join(known) or "none"
            raise ValueError(f"The {kind} {name[:40]!r} is unknown; send {listed}.")
        if names.count(name) > 1:
            raise ValueError(f"The {kind} {name} is there {names.count(name)} times; send it once.")


Given = Annotated[Patient, fastapi.Depends(given_patient)]


def make_service(assessor: Assessor, queue_length: int = 64) -> fastapi.FastAPI:
    """Make the service; `queue_length` pictures at most are answered or wait at a time.

    Returns:
        An ASGI application with /predict, /explain, /health and /docs.
    """
    decoders = ThreadPoolExecutor(DECODING_THREADS, "decoder")
    network = ThreadPoolExecutor(1, "network")

    @asynccontextmanager
    async def lifespan(_):
        yield
        for pool in (decoders, network):
            pool.shutdown(cancel_futures=True)

    assess = functools.partial(_assess, assessor, decoders=decoders, network=network)
    # Starlette writes a larger upload to a temporary file; here none is larger.
    MultiPartParser.spool_max_size = BODY_BYTES
    service = fastapi.FastAPI(title="Skin lesions", description=classes.NOTICE, lifespan=lifespan)
    service.state.waiting = 0
    service.add_middleware(RequestLimits, places=queue_length)
    service.add_exception_handler(RequestValidationError, _refuse_fields)
    service.add_route("/", lambda _: RedirectResponse("docs"))

    @service.get("/health")
    async def health() -> Health:
        """Return whether the service can answer, and which network does."""
        return _health(assessor, service.state.waiting)

    @service.post("/predict", responses=PROBLEMS)
    async def predict(file: Picture, patient: Given) -> Prediction:
        """Assess one picture: class, probabilities, warnings."""
        return _prediction(assessor, await assess(file, patient))

    @service.post("/explain", responses={**PROBLEMS, **OVERLAYS}, response_class=Response)
    async def explain(
        file: Picture, patient: Given, target: Target = None, opacity: Opacity = 0.45
    ) -> Response:
        """Lay a Grad-CAM heat map over the picture's centre square, as PNG."""
        assessment = await assess(file, patient)
        draw = asyncio.get_running_loop().run_in_executor
        drawn = await draw(network, _overlay, assessor, assessment, target, opacity)
        return Response(drawn, media_type="image/png", headers={"X-Notice": classes.NOTICE})

    return service


async def _refuse_fields(_, error: RequestValidationError) -> JSONResponse:
    """Name the field of a request that is wrong, with its value."""
    first = error.errors()[0]
    name, why = first["loc"][-1], first["msg"]
    if first["type"] == "missing":
        sentence = f"The field {name} is missing; send it with the form."
    elif name == "file":
        sentence = "The field file is not a file; send the picture as a file of the form."
    else:
        value = str(first["input"])[:40]
        sentence = f"The field {name} is {value!r}; {classes.in_a_sentence(why)}."
    return JSONResponse({"detail": sentence}, 422)


async def _assess(assessor, file: UploadFile, patient: Patient, decoders, network) -> Assessment:
    """Decode a picture in one pool of threads and predict it in the other."""
    if patient.is_known:
        try:
            assessor.classifier.require_patients()
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
    picture = await _read(assessor, file, patient, decoders)
    return await asyncio.get_running_loop().run_in_executor(network, assessor.predict, picture)


async def _read(assessor, file: UploadFile, patient: Patient, decoders):
    """Decode a picture; its file is let go, because many may wait for the network."""
    content = await file.read()
    await file.close()
    # A client chooses the charset of the name, and may write what UTF-8 has no bytes for.
    name = (file.filename or "the picture").encode(errors="replace").decode()
    decode = asyncio.get_running_loop().run_in_executor
    try:
        return await decode(decoders, assessor.read, content, name, patient)
    except ValueError as error:
        status = 413 if len(content) > MAXIMUM_BYTES else 415
        raise HTTPException(status, str(error)) from error
    except ChildProcessError as error:
        raise HTTPException(503, str(error), {"Retry-After": "60"}) from error


def _overlay(assessor: Assessor, assessment: Assessment, target, opacity: float) -> bytes:
    heat_map = assessor.heat_map(assessment, target)
    overlay = explanation.overlay(assessment.picture.shown, heat_map, opacity)
    return cv2.imencode(".png", overlay[..., ::-1])[1].tobytes()


def _health(assessor: Assessor, waiting: int) -> Health:
    details = assessor.classifier.details
    return Health(
        status="ok",
        architecture=details["architecture"],
        image_size=details["image_size"],
        run=details.get("run"),
        waiting=waiting,
        familiarity_problem=assessor.familiarity_problem,
        notice=classes.NOTICE,
    )


def _prediction(assessor: Assessor, assessment: Assessment) -> Prediction:
    lesion_class = classes.BY_CODE[assessment.predicted]
    at_home, elsewhere = assessor.testing(assessment)
    return Prediction(
        image=assessment.picture.name,
        predicted=assessment.predicted,
        name=lesion_class.name,
        description=lesion_class.description,
        probabilities=dict(zip(classes.CODES, assessment.probabilities.tolist(), strict=True)),
        malignant=assessment.malignant,
        warnings=list(assessment.warnings),
        testing=[*at_home, *elsewhere],
        patient=assessment.picture.patient.describe(),
        notice=classes.NOTICE,
    )


def serve(assessor: Assessor, host: str, port: int, queue_length: int) -> None:
    """Serve until SIGTERM or Ctrl-C, then finish what waits, for `SECONDS_TO_FINISH` at most."""
    uvicorn.run(
        make_service(assessor, queue_length),
        host=host,
        port=port,
        http=PromptProtocol,
        log_level="warning",
        timeout_graceful_shutdown=SECONDS_TO_FINISH,
    )
