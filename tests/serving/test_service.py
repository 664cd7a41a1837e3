"""The service: what it answers, what it refuses, and that it bears many clients."""

import asyncio
import io
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc

import cv2
import numpy as np
import pytest
from PIL import Image

from lesions import classes
from lesions.data import Patient
from lesions.serving import Assessor
from lesions.system.folders import REPOSITORY

httpx = pytest.importorskip("httpx", reason="httpx is not installed; see requirements-dev.txt")
for package in ("fastapi", "uvicorn", "python_multipart"):
    pytest.importorskip(package, reason=f"{package} is not installed; see requirements-app.txt")

from lesions.serving import limits, service  # noqa: E402


@pytest.fixture(scope="module")
def assessor(tiny_model):
    return Assessor(tiny_model, tta=False)


@pytest.fixture(scope="module")
def content(demo_metadata):
    with open(demo_metadata["image_path"].iloc[0], "rb") as file:
        return file.read()


def post(app, address, content, name="photo.jpg", **options):
    """Send one picture to the application in this process."""

    async def send():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.post(address, files={"file": (name, content)}, **options)

    return asyncio.run(send())


def get(app, address):
    async def send():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get(address)

    return asyncio.run(send())


@pytest.fixture(scope="module")
def app(assessor):
    return service.make_service(assessor)


def test_prediction_is_the_assessors(app, assessor, content):
    reply = post(app, "/predict", content)
    assert reply.status_code == 200
    found, expected = reply.json(), assessor.assess(content, "photo.jpg")
    assert found["predicted"] == expected.predicted
    assert found["name"] == classes.NAMES[expected.predicted]
    assert list(found["probabilities"]) == list(classes.CODES)
    difference = np.array(list(found["probabilities"].values())) - expected.probabilities
    assert np.abs(difference).max() < 1e-6
    assert found["malignant"] == pytest.approx(expected.malignant)
    assert (found["image"], found["notice"]) == ("photo.jpg", classes.NOTICE)


def test_explanation_is_an_overlay_of_the_class_asked_for(app, content):
    pictures = []
    for query in ("?target=mel", "?target=mel&opacity=0", "?target=vasc"):
        reply = post(app, f"/explain{query}", content)
        assert (reply.status_code, reply.headers["content-type"]) == (200, "image/png")
        pictures.append(np.asarray(Image.open(io.BytesIO(reply.content))))
    assert pictures[0].shape == pictures[1].shape
    assert (pictures[0] != pictures[1]).any()
    assert post(app, "/explain?target=wart", content).status_code == 422


@pytest.fixture(scope="module")
def of_patients(patient_model):
    return Assessor(patient_model, tta=False)


def test_age_sex_and_site_are_used_where_they_are_sent(of_patients, content):
    app = service.make_service(of_patients)
    alone = post(app, "/predict", content, data={"age": "", "sex": "unknown"}).json()
    form = {"age": "75 years", "sex": "M", "site": "ear"}
    given = post(app, "/predict", content, data=form).json()
    assert (alone["patient"], given["patient"]) == ("", "age 75, male, ear")
    expected = of_patients.assess(content, "photo.jpg", Patient(75.0, "male", "ear"))
    assert given["probabilities"]["mel"] == pytest.approx(expected.probabilities[4], abs=1e-6)
    assert given["probabilities"]["mel"] > alone["probabilities"]["mel"] + 0.05
    assert post(app, "/explain", content, data=form).status_code == 200


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"age": "old"}, ["age", "'old'"]),
        ({"age": "-5"}, ["age", "'-5'"]),
        ({"age": "1e999"}, ["age", "'1e999'"]),
        ({"sex": "7"}, ["sex", "'7'"]),
        ({"site": "moon\n"}, ["site", "moon"]),
        ({"site": "x" * 100_000}, ["site", "'xxx"]),
        ({"localization": "back"}, ["'localization'", "site"]),
        ({"age": ["50", "60"]}, ["age", "2 times"]),
    ],
)
def test_patients_that_make_no_sense_are_a_422(of_patients, content, form, words, one_sentence):
    app = service.make_service(of_patients)
    for address in ("/predict", "/explain"):
        reply = post(app, address, content, data=form)
        assert reply.status_code == 422 and len(reply.text) < 400
        one_sentence(reply.json()["detail"], *words)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("explain?age=50", ["'age'", "target"]),
        ("explain?target=mel&target=nv", ["2 times"]),
        ("predict?target=mel", ["'target'", "none"]),
    ],
)
def test_no_query_parameter_is_passed_over(app, content, query, words, one_sentence):
    reply = post(app, f"/{query}", content)
    assert reply.status_code == 422
    one_sentence(reply.json()["detail"], "query parameter", *words)


def test_a_network_that_takes_no_patients_and_wrong_fields_are_a_422(app, content, one_sentence):
    reply = post(app, "/predict", content, data={"age": "50"})
    assert reply.status_code == 422
    one_sentence(reply.json()["detail"].replace("model.h5", "it"), "age, sex and site")
    reply = post(app, "/explain?target=wart", content)
    one_sentence(reply.json()["detail"], "target", "'wart'")

    async def send():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            text = await client.post("/predict", files={"file": (None, "hello")})
            return await client.post("/predict", data={"age": "50"}), text

    for reply, word in zip(asyncio.run(send()), ("missing", "not a file"), strict=True):
        assert reply.status_code == 422
        one_sentence(reply.json()["detail"], "file", word)


def test_a_name_without_utf_8_is_answered(app, content):
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="+2AA-.jpg"\r\n\r\n'

    async def send(content):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            kind = {"content-type": "multipart/form-data; boundary=x; charset=utf-7"}
            body = head + content + b"\r\n--x--\r\n"
            return await client.post("/predict", content=body, headers=kind)

    reply, refusal = asyncio.run(send(content)), asyncio.run(send(b"text"))
    assert (reply.status_code, reply.json()["image"]) == (200, "?.jpg")
    assert refusal.status_code == 415 and refusal.json()["detail"].startswith("?.jpg is not")


def test_the_bare_address_shows_the_description(app):
    found = get(app, "/")
    assert (found.status_code, found.headers["location"]) == (307, "docs")
    assert "swagger" in get(app, "/docs").text.lower()


def test_health_names_the_network(app, assessor):
    found = get(app, "/health").json()
    assert (found["status"], found["run"], found["waiting"]) == ("ok", "tiny", 0)
    assert found["image_size"] == assessor.classifier.image_size


def bomb():
    """A small PNG of 20,000 x 20,000 pixels, which would take 1.2 GB."""
    buffer = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "png")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("made", "status", "word"),
    [
        (lambda whole: b"not an image", 415, "photo.jpg is not an image"),
        (lambda whole: b"", 415, "is empty"),
        (lambda whole: whole[: len(whole) // 2], 415, "cut short"),
        (lambda whole: bomb(), 415, "over the limit of 100 million"),
        (lambda whole: whole + bytes(20_050_000), 413, "over the limit of 20 MB"),
        (lambda whole: whole + bytes(40_000_000), 413, "over the limit of 20 MB"),
    ],
    ids=["text", "empty", "cut", "bomb", "20 MB", "40 MB"],
)
def test_what_is_no_picture_gets_a_sentence(app, content, made, status, word, one_sentence):
    for address in ("/predict", "/explain"):
        reply = post(app, address, made(content))
        assert reply.status_code == status
        one_sentence(reply.json()["detail"].replace("photo.jpg", "photo"), word.split(".jpg")[-1])


def test_a_body_of_unknown_length_is_cut_off(app):
    async def endless():
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
        while True:
            yield bytes(1_000_000)

    async def send():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            headers = {"content-type": "multipart/form-data; boundary=x"}
            return await client.post("/predict", content=endless(), headers=headers)

    assert asyncio.run(asyncio.wait_for(send(), 60)).status_code == 413


def test_pictures_are_never_written(app, content, monkeypatch, tmp_path):
    large = noise(1200)
    assert len(large) > 4_000_000
    post(app, "/predict", content)  # starts the process that decodes
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    assert post(app, "/predict", large).status_code == 200


def test_beyond_the_queue_is_503_and_the_others_are_answered(assessor, content, monkeypatch):
    app = service.make_service(assessor, queue_length=2)
    go, predict = threading.Event(), assessor.predict
    monkeypatch.setattr(assessor, "predict", lambda picture: (go.wait(60), predict(picture))[1])

    async def send():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            asked = [
                asyncio.create_task(client.post("/predict", files={"file": ("a.jpg", content)}))
                for _ in range(4)
            ]
            while sum(task.done() for task in asked) < 2:
                await asyncio.sleep(0.01)
            assert (await client.get("/health")).json()["waiting"] == 2
            go.set()
            return await asyncio.gather(*asked)

    replies = asyncio.run(asyncio.wait_for(send(), 60))
    assert sorted(reply.status_code for reply in replies) == [200, 200, 503, 503]
    full = next(reply for reply in replies if reply.status_code == 503)
    assert "send this one again" in full.json()["detail"] and full.headers["retry-after"]
    assert get(app, "/health").json()["waiting"] == 0


def noise(side):
    """A PNG file of random colours, which takes as many bytes as its pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 0])[1].tobytes()


def test_files_are_let_go_while_their_pictures_wait(assessor, monkeypatch):
    app, files = service.make_service(assessor), 6
    go, predict, decoded = threading.Event(), assessor.predict, []
    read = assessor.read
    monkeypatch.setattr(assessor, "predict", lambda picture: (go.wait(60), predict(picture))[1])
    monkeypatch.setattr(assessor, "read", lambda *given: decoded.append(1) or read(*given))
    large = noise(1000)

    async def send():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            asked = [
                asyncio.create_task(client.post("/predict", files={"file": ("a.png", large)}))
                for _ in range(files)
            ]
            while len(decoded) < files:
                await asyncio.sleep(0.01)
            await asyncio.sleep(1)
            held = tracemalloc.get_traced_memory()[0]
            go.set()
            return held, await asyncio.gather(*asked)

    tracemalloc.start()
    held, replies = asyncio.run(asyncio.wait_for(send(), 60))
    tracemalloc.stop()
    assert [reply.status_code for reply in replies] == [200] * files
    assert held < 0.7 * files * len(large)


@pytest.fixture(scope="module")
def address(tiny_model, tmp_path_factory):
    """The service as a process of its own."""
    process, address = start(tiny_model)
    yield process, address
    process.kill()
    process.wait()


def start(model):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "lesions", "serve", "--port", str(port), "--model", str(model)]
    process = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
    address = f"http://127.0.0.1:{port}"
    for _ in range(600):
        assert process.poll() is None, process.stderr.read()
        try:
            httpx.get(f"{address}/health")
            return process, address
        except httpx.ConnectError:
            time.sleep(0.5)
    raise AssertionError("the service never answered")


@pytest.mark.slow
def test_its_own_schema_finds_no_fault(address, tmp_path):
    pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{address[1]}/openapi.json"]
    checks = "not_a_server_error,status_code_conformance,response_schema_conformance"
    options = [f"--checks={checks}", "--max-examples=20", "--seed=1", "--generation-database=none"]
    done = subprocess.run(
        [*command, *options], cwd=tmp_path, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]


async def load(address, content, clients, requests):
    """Let clients send pictures one after the other, and return all status codes."""
    left, codes = iter(range(requests)), []

    async def work(client):
        for number in left:
            path = "/explain" if number % 10 == 0 else "/predict"
            reply = await client.post(address + path, files={"file": ("a.jpg", content)})
            codes.append(reply.status_code)

    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(timeout=300, limits=limits) as client:
        await asyncio.gather(*(work(client) for _ in range(clients)))
    return codes


def connect(url):
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=60)


def seconds_until_closed(connection):
    """How long the service keeps a connection on which nothing more is sent."""
    started = time.monotonic()
    while connection.recv(65_536):
        pass
    return time.monotonic() - started


HALF_BODY = (
    b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    b"Content-Length: 100000\r\n\r\n--x\r\n"
)


@pytest.mark.slow
def test_half_requests_hold_nobody_and_are_dropped(address, content):
    _, url = address
    sent = (HALF_BODY, b"POST /predict HTTP/1.1\r\nHost: a\r\n", b"", b"\x16\x03\x01garbage")
    connections = [connect(url) for _ in range(64)]
    for number, connection in enumerate(connections):
        connection.sendall(sent[number % len(sent)])
    started = time.monotonic()
    reply = httpx.post(f"{url}/predict", files={"file": ("a.jpg", content)}, timeout=60)
    assert reply.status_code == 200 and time.monotonic() - started < limits.SILENT_SECONDS
    assert httpx.get(f"{url}/health").json()["waiting"] == 0
    for connection in connections:
        assert seconds_until_closed(connection) < 10
        connection.close()
    assert time.monotonic() - started < 20


def progressive_bomb(sides=(65_000, 1_500)):
    """A small file that a decoder works on for a long time: a wide picture in many scans."""
    buffer = io.BytesIO()
    Image.new("L", sides, 128).save(buffer, "jpeg", progressive=True)
    whole = buffer.getvalue()
    scan = whole.rindex(b"\xff\xda")
    return whole[:-2] + whole[scan:-2] * 4000 + whole[-2:]


@pytest.mark.slow
def test_a_picture_made_to_be_slow_holds_neither_others_nor_the_end(tiny_model, content):
    process, url = start(tiny_model)
    replies = []

    def send(picture):
        reply = httpx.post(f"{url}/predict", files={"file": ("a.jpg", picture)}, timeout=120)
        replies.append(reply.status_code)

    try:
        send(content)  # starts a process that decodes
        slow = threading.Thread(target=send, args=(progressive_bomb(),))
        slow.start()
        time.sleep(1)
        send(content)
        assert replies == [200, 200] or replies == [200, 415, 200]
        process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        process.wait(60)
        slow.join(60)
        assert time.monotonic() - started < 30 and sorted(replies) == [200, 200, 415]
    finally:
        process.kill()


@pytest.mark.slow
def test_32_clients_are_answered_in_flat_memory_and_the_last_one_at_shutdown(address, content):
    psutil = pytest.importorskip("psutil")
    process, url = address
    requests = int(os.environ.get("LOAD_REQUESTS", 96))
    picture = cv2.imencode(".jpg", cv2.imdecode(np.frombuffer(content, np.uint8), 1)[::4, ::4])[1]
    picture = picture.tobytes()
    asyncio.run(load(url, picture, 32, 32))
    memory = psutil.Process(process.pid).memory_info
    before, started = memory().rss, time.perf_counter()
    codes = asyncio.run(load(url, picture, 32, requests))
    seconds = time.perf_counter() - started
    growth = (memory().rss - before) / 1e6
    print(f"{requests} requests in {seconds:.1f} s, memory grew by {growth:.1f} MB")
    assert codes == [200] * requests
    assert growth < 60
    replies = []
    asking = threading.Thread(
        target=lambda: replies.extend(asyncio.run(load(url, picture, 8, 8))), daemon=True
    )
    asking.start()
    while httpx.get(f"{url}/health").json()["waiting"] == 0 and asking.is_alive():
        pass
    process.send_signal(signal.SIGTERM)
    asking.join(60)
    process.wait(60)
    assert replies == [200] * 8
    assert "Traceback" not in process.stderr.read()
