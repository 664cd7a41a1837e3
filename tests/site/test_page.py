"""The page that computes in the reader's browser, built and driven in a real one."""

import base64
import csv
import functools
import http.server
import json
import shutil
import struct
import subprocess
import threading
import time

import cv2
import numpy as np
import pytest

from lesions import classes, inference
from lesions.data import images
from lesions.evaluation import patient_data
from lesions.explanation import Explainer
from lesions.inference import familiarity
from lesions.system.folders import REPOSITORY

pytest.importorskip("selenium", reason="selenium is not installed; see requirements-dev.txt")
for package in ("onnx", "tf2onnx"):
    pytest.importorskip(package, reason=f"{package} is not installed; see requirements-app.txt")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

from lesions.serving import site, texts, track_record  # noqa: E402

pytestmark = pytest.mark.slow
PATIENCE = 120


@pytest.fixture(scope="module")
def classifier(best_classifier):
    return best_classifier


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The page as `make site` writes it, with the project's best network."""
    if not shutil.which("npm"):
        pytest.skip("npm is not installed; install the Debian package npm")
    modules = REPOSITORY / "site" / "node_modules"
    if not all((modules / package).is_dir() for package in ("onnxruntime-web", "axe-core")):
        command = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund"]
        installed = subprocess.run(command, cwd=modules.parent, capture_output=True, text=True)
        if installed.returncode:
            pytest.skip(f"npm cannot install the page's packages: {installed.stderr[-300:]}")
    return site.write(tmp_path_factory.mktemp("page") / "site")


class Server:
    """A static server that keeps a list of what it was asked for."""

    def __init__(self, folder):
        self.asked = asked = []
        self.has_network = has_network = threading.Event()
        has_network.set()

        class Handler(http.server.SimpleHTTPRequestHandler):
            def do_GET(self):
                if self.path.endswith(".onnx"):
                    has_network.wait(PATIENCE)
                super().do_GET()

            def log_request(self, *_):
                asked.append(self.path)

            def log_message(self, *_):
                pass

        handler = functools.partial(Handler, directory=str(folder))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def server(built):
    running = Server(built)
    yield running
    running.stop()


class Page:
    """The page in the browser, with what a reader does on it."""

    def __init__(self, browser):
        self.browser = browser

    def run(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def find(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def until(self, condition):
        return WebDriverWait(self.browser, PATIENCE, 0.05).until(lambda _: condition())

    def says(self, *sentences):
        def said():
            text = self.find("body").text
            return all(sentence in text for sentence in sentences)

        self.until(said)

    def open(self, address):
        self.browser.get(address)
        self.until(lambda: self.run("return globalThis.lesions?.ready"))

    def choose(self, *paths):
        """Choose files in the dialog, and wait until each has its answer or its sentence."""
        self.find("#files").send_keys("\n".join(map(str, paths)))
        self.settle()

    def settle(self):
        waiting = "return [...lesions.pictures.values()].some((picture) => !picture.answer)"
        self.until(lambda: not self.run(waiting))

    def answer(self, number=-1):
        """What the page holds about a picture, without its pixels."""
        found = self.run(
            "const { answer, found, seconds } = [...lesions.pictures.values()].at(arguments[0]);"
            "const { square, views } = found;"
            "return { ...answer, square, views, seconds }",
            number,
        )
        found["code"] = classes.CODES[found["label"]]
        return found

    def values(self, name):
        """Bytes or numbers of the last picture, as an array."""
        content = self.run(
            f"const values = [...lesions.pictures.values()].at(-1).found.{name};"
            "const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);"
            "let text = ''; for (const byte of bytes) text += String.fromCharCode(byte);"
            "return btoa(text)"
        )
        return base64.b64decode(content)

    def clear(self):
        self.run("document.getElementById('clear').click()")


@pytest.fixture(scope="module")
def loaded(server, browser):
    page = Page(browser)
    page.open(server.address)
    return page


@pytest.fixture
def page(loaded):
    loaded.clear()
    loaded.run("document.getElementById('problems').replaceChildren()")
    return loaded


@pytest.fixture(scope="module")
def photograph(demo_metadata, classifier):
    """A drawn melanoma in the size and shape of HAM10000's, of which the network is not sure.

    Where it is sure, the eight views agree.
    """
    melanomas = demo_metadata.loc[demo_metadata["dx"] == "mel", "image_path"].head(8)
    drawn = [
        cv2.resize(images.read_image(path), (600, 450), interpolation=cv2.INTER_CUBIC)
        for path in melanomas
    ]
    squares = np.stack([classifier.prepare(one) for one in drawn])
    return drawn[classifier.probabilities(squares).max(axis=1).argmin()]


@pytest.fixture
def written(tmp_path):
    def write(image, name="photograph.png", *options):
        path = tmp_path / name
        assert cv2.imwrite(str(path), image[..., ::-1], list(options))
        return path

    return write


def header_of(width, height):
    """The first bytes of a PNG file of any size."""
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4s2I5B", 13, b"IHDR", width, height, 8, 2, 0, 0, 0)


# What `make site` writes.


def test_network_and_lists_are_whole(built):
    facts = json.loads((built / "data/site.json").read_text())
    assert (built / "data/network.onnx").stat().st_size == facts["network"]["bytes"] < 15e6
    kept = json.loads((built / "files.js").read_text().split("FILES = ")[1].rstrip(";\n"))
    there = {p.relative_to(built).as_posix() for p in built.rglob("*") if p.is_file()}
    # A host may lead from index.html to its folder; a browser serves no such answer from a cache.
    assert "./" in kept and "index.html" not in kept
    assert {*kept, "files.js", "index.html"} - {"./"} == there and len(kept) == len(set(kept))
    assert facts["version"] in (built / "files.js").read_text()


def test_sentences_are_those_of_the_package(built, tmp_path):
    facts = json.loads((built / "data/site.json").read_text())
    text = tmp_path / "text.jpg"
    text.write_text("not an image")
    with pytest.raises(ValueError) as error:
        images.decode_image(text.read_bytes(), "text.jpg")
    assert facts["problems"]["no_image"].replace("{name}", "text.jpg") == str(error.value)
    assert all("{name}" in facts["problems"][key] for key in ("empty", "damaged", "heic"))
    assert "{width} x {height}" in facts["problems"]["too_large"]
    assert "{width} x {height}" in facts["problems"]["too_small"]
    assert facts["texts"] == texts.TEXTS
    assert [one["name"] for one in facts["classes"]] == list(classes.NAMES.values())
    assert classes.NOTICE in (built / "index.html").read_text()


# The same answers.


def test_same_pixels_give_the_same_probabilities_and_map(page, written, photograph, classifier):
    page.choose(written(photograph))
    prepared = classifier.prepare(photograph)
    found = np.frombuffer(page.values("rgb"), np.uint8).reshape(prepared.shape)
    assert np.abs(found.astype(int) - prepared).max() <= 1
    expected = classifier.probabilities(prepared[np.newaxis])
    np.testing.assert_allclose(page.answer()["probabilities"], expected[0], atol=1e-3)
    assert page.answer()["code"] == classifier.decide(expected)[0]
    # The class activation map is the gradients' Grad-CAM.
    for code in ("mel", "vasc"):
        size = classifier.image_size
        drawn = page.browser.execute_async_script(
            "const [label, size, done] = arguments; import('./heatmap.js').then((heatmap) => {"
            "const { found } = [...lesions.pictures.values()].at(-1);"
            "const { small, rows, columns } = heatmap.mapOf(found.maps, label);"
            "done([...heatmap.enlargedMap(small, rows, columns, size)]) })",
            classes.CODES.index(code),
            size,
        )
        grad_cam = Explainer(classifier.model)(prepared[np.newaxis], code)[0]
        np.testing.assert_allclose(np.reshape(drawn, (size, size)), grad_cam, atol=5e-3)


def test_eight_views_are_those_of_predict_and_leave_the_page_alive(
    page, written, photograph, classifier
):
    page.choose(written(photograph))
    page.run(
        "let last = performance.now(); lesions.longest = 0; setInterval(() => {"
        "const now = performance.now(); lesions.longest = Math.max(lesions.longest, now - last);"
        "last = now }, 10)"
    )
    page.run("document.getElementById('eight').click()")
    page.until(lambda: page.answer()["views"] == 8)
    prepared = classifier.prepare(photograph)[np.newaxis]
    eight = inference.Classifier(tta=True).probabilities(prepared)[0]
    one = classifier.probabilities(prepared)[0]
    np.testing.assert_allclose(page.answer()["probabilities"], eight, atol=1e-3)
    assert np.abs(eight - one).max() > 2e-3  # else this test could not fail
    assert page.run("return lesions.longest") < 1000 * page.answer()["seconds"] / 3


def test_jpeg_file_gives_nearly_the_same(page, written, photograph, classifier):
    path = written(photograph, "photograph.jpg", cv2.IMWRITE_JPEG_QUALITY, 92)
    page.choose(path)
    expected = classifier.probabilities(classifier.prepare(path)[np.newaxis])[0]
    np.testing.assert_allclose(page.answer()["probabilities"], expected, atol=2e-2)


def test_one_view_takes_less_than_two_seconds(page, written, photograph):
    path = written(photograph)
    seconds = []
    while len(seconds) < 6 and min(seconds, default=9) >= 2:  # a busy machine gets more tries
        page.choose(path)
        seconds.append(page.answer()["seconds"])
    assert min(seconds) < 2


# What a reader does.


def test_dropped_picture_shows_answer_map_and_class_that_is_chosen(
    page, written, photograph, classifier
):
    content = base64.b64encode(written(photograph).read_bytes()).decode()
    page.run(
        "const bytes = Uint8Array.from(atob(arguments[0]), (c) => c.charCodeAt(0));"
        "const dataTransfer = new DataTransfer();"
        "dataTransfer.items.add(new File([bytes], 'dropped.png', { type: 'image/png' }));"
        "document.getElementById('drop').dispatchEvent("
        "new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }))",
        content,
    )
    page.settle()
    answer = page.answer()
    name = classes.NAMES[answer["code"]]
    page.says(f"{name} ({answer['code']})", "dropped.png", "Malignant", texts.TEXTS["record"])
    record = track_record.read(classifier)
    tested = record.sentences(answer["code"], answer["probabilities"][answer["label"]])
    page.says(*tested[:2], texts.TEXTS["record_elsewhere"], *record.elsewhere(answer["code"]))
    picture = "return document.getElementById('shown').toDataURL()"
    before = page.run(picture)
    other = "vasc" if answer["code"] != "vasc" else "nv"
    row = page.find(f".class:has(input[value={other}])")
    page.run("arguments[0].scrollIntoView({ block: 'center' })", row)
    row.click()
    page.says(texts.TEXTS["heat_map"].format(code=f"{classes.NAMES[other]} ({other})"))
    assert page.run(picture) != before
    page.find("input[name=class]:checked").send_keys(Keys.ARROW_UP)
    assert page.find("input[name=class]:checked").get_attribute("value") != other
    page.run(
        "const slider = document.getElementById('opacity'); slider.value = 0;"
        "slider.dispatchEvent(new Event('input'))"
    )
    plain = page.run(picture)
    assert plain != before and page.find("#opacity-value").text == "0%"


PASTE = (
    "const bytes = Uint8Array.from(atob(arguments[0]), (c) => c.charCodeAt(0));"
    "const clipboardData = new DataTransfer();"
    "clipboardData.items.add(new File([bytes], 'pasted.png', { type: 'image/png' }));"
    "dispatchEvent(new ClipboardEvent('paste', { clipboardData }));"
)


def test_pasted_picture_is_answered(page, written, photograph):
    page.run(PASTE, base64.b64encode(written(photograph).read_bytes()).decode())
    page.until(lambda: page.run("return lesions.pictures.size") == 1)
    page.settle()
    page.says("pasted.png")


def test_cropped_square_is_what_the_network_sees(page, written, photograph, classifier):
    page.choose(written(photograph))
    before = page.answer()
    assert before["square"] == {"left": 75, "top": 0, "side": 450}
    crop = page.find("#crop")
    page.run("arguments[0].scrollIntoView({ block: 'center' })", crop)
    crop.send_keys("-" * 8 + Keys.ARROW_LEFT * 3 + Keys.ARROW_DOWN)
    page.until(lambda: page.answer()["square"]["side"] < 400)
    page.until(lambda: page.run("return document.getElementById('zoom').value") != "100")
    time.sleep(0.5)
    page.settle()
    square = page.answer()["square"]
    left, top, side = square["left"], square["top"], square["side"]
    cut = photograph[top : top + side, left : left + side]
    expected = classifier.probabilities(classifier.prepare(cut)[np.newaxis])[0]
    np.testing.assert_allclose(page.answer()["probabilities"], expected, atol=1e-3)
    assert left < 75 + (450 - side) / 2
    page.run("document.querySelector('#centre').click()")
    page.until(lambda: page.answer()["square"] == before["square"])


def test_a_square_moved_before_the_next_picture_comes_is_that_of_its_own_picture(
    page, written, photograph
):
    page.choose(written(photograph))
    other = written(cv2.resize(photograph, (900, 500)), "other.png")
    content = base64.b64encode(other.read_bytes()).decode()
    hidden = page.run(
        "const zoom = document.getElementById('zoom');"
        "zoom.value = 50; zoom.dispatchEvent(new Event('input'));"
        f"{PASTE} return document.getElementById('result').hidden",
        content,
    )
    assert hidden  # the answer to the first picture does not stand for the second
    page.settle()
    page.until(lambda: page.answer(0)["square"]["side"] == 225)
    assert page.answer(1)["square"] == {"left": 200, "top": 0, "side": 500}
    page.says("pasted.png")


def test_eight_views_are_of_the_square_that_is_shown(page, written, photograph):
    page.choose(written(photograph))
    page.run(
        "const zoom = document.getElementById('zoom');"
        "zoom.value = 50; zoom.dispatchEvent(new Event('input'));"
        "document.getElementById('eight').click()"
    )
    page.until(lambda: page.answer()["views"] == 8)
    time.sleep(0.5)  # in which a question about one view would come
    page.settle()
    assert page.answer()["views"] == 8 and page.answer()["square"]["side"] == 225


def test_pictures_that_are_removed_are_not_asked_about(page, written, photograph):
    content = base64.b64encode(written(photograph).read_bytes()).decode()
    page.run(
        "const bytes = Uint8Array.from(atob(arguments[0]), (c) => c.charCodeAt(0));"
        "const dataTransfer = new DataTransfer();"
        "for (let number = 0; number < 20; number += 1)"
        "  dataTransfer.items.add(new File([bytes], `${number}.png`));"
        "dataTransfer.items.add(new File(['words'], 'text.jpg'));"
        "dispatchEvent(new DragEvent('drop', { dataTransfer, cancelable: true }));"
        "document.getElementById('clear').click()",
        content,
    )
    page.choose(written(photograph))
    assert page.answer()["seconds"] < 4  # twenty would take longer
    assert page.run("return document.getElementById('problems').textContent") == ""


def test_age_sex_and_site_are_taken_into_account(page, written, photograph, classifier):
    page.choose(written(photograph))
    before = page.answer()["probabilities"]
    assert page.find("#patient").is_displayed()
    for name, value in (("age", "72"), ("sex", "male"), ("localization", "face")):
        page.run(
            "const field = document.getElementById(arguments[0]); field.value = arguments[1];"
            "field.dispatchEvent(new Event('input', { bubbles: true }))",
            name,
            value,
        )
    fusion = patient_data.Fusion.from_details(classifier.details["patient_fusion"])
    expected = fusion.apply(np.array([before]), [72.0], ["male"], ["face"])[0]
    np.testing.assert_allclose(page.answer()["probabilities"], expected, atol=1e-6)
    assert np.abs(expected - before).max() > 1e-3
    page.says(track_record.read(classifier).when_given(True), "given age 72, male, face.")
    page.clear()
    page.choose(written(photograph))
    assert page.answer()["patient"] == ""
    page.says(texts.TEXTS["alone"])


def test_several_pictures_give_a_strip_a_table_and_a_sentence_for_what_is_broken(
    page, written, photograph, tmp_path
):
    text = tmp_path / "text.jpg"
    text.write_text("not an image")
    cup = written(familiarity.everyday_pictures()["china"], "china.png")
    page.choose(written(photograph), cup, text)
    page.says("text.jpg is not an image")
    buttons = page.browser.find_elements(By.CSS_SELECTOR, "#strip button")
    assert len(buttons) == 2
    buttons[1].click()
    page.says("china.png", familiarity.WARNINGS["unlike"])
    page.run("document.querySelector('#table').click()")
    target = page.browser.downloads / "answers.csv"
    page.until(target.is_file)
    rows = list(csv.DictReader(target.open()))
    assert [row["image"] for row in rows] == ["photograph.png", "china.png"]
    columns = ["image", "predicted", "name", "malignant", *classes.CODES, "patient", "warnings"]
    assert list(rows[0]) == columns
    assert sum(float(rows[0][code]) for code in classes.CODES) == pytest.approx(1, abs=1e-5)
    assert "unlike" in rows[1]["warnings"]


def test_tiny_and_blurred_pictures_are_warned_of(page, written, photograph):
    page.choose(written(cv2.resize(photograph, (120, 90), interpolation=cv2.INTER_AREA)))
    page.says("This picture is tiny: 90 pixels")
    page.clear()
    page.choose(written(photograph))
    zoom = page.find("#zoom")
    page.run("arguments[0].value = 20; arguments[0].dispatchEvent(new Event('input'))", zoom)
    page.says("This picture is tiny: 90 pixels")
    page.clear()
    page.choose(written(cv2.GaussianBlur(photograph, (0, 0), 12)))
    page.says(familiarity.WARNINGS["blurred"])


def test_broken_files_get_a_sentence(page, written, photograph, tmp_path):
    whole = written(photograph, "whole.jpg").read_bytes()
    size = struct.pack(">I4s", 20, b"ispe") + struct.pack(">3I", 0, 4032, 3024)
    contents = {
        "cut.jpg": whole[: len(whole) // 2],
        "empty.png": b"",
        "huge.png": header_of(20_000, 20_000),
        "telephone.heic": struct.pack(">I8s", 24, b"ftypheic") + bytes(12) + size,
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    page.choose(*(tmp_path / name for name in contents))
    page.says(
        "cut.jpg is cut short or damaged",
        "empty.png is empty",
        "huge.png has 20000 x 20000 pixels, over the limit of 100 million",
        "telephone.heic is a HEIC or AVIF picture",
        "convert it to JPEG",
    )
    assert page.run("return lesions.pictures.size") == 0


def test_large_pictures_are_answered(page, written, photograph, classifier):
    noise = np.random.default_rng(0).integers(0, 256, (3700, 3700, 3), dtype=np.uint8)
    heavy = written(noise, "heavy.png", cv2.IMWRITE_PNG_COMPRESSION, 0)
    assert heavy.stat().st_size > 40_000_000
    page.choose(heavy)
    expected = classifier.probabilities(classifier.prepare(noise)[np.newaxis])[0]
    np.testing.assert_allclose(page.answer()["probabilities"], expected, atol=1e-3)
    wide = cv2.resize(photograph, (9000, 6000), interpolation=cv2.INTER_LINEAR)
    page.choose(written(wide, "wide.jpg", cv2.IMWRITE_JPEG_QUALITY, 90))
    expected = classifier.probabilities(classifier.prepare(wide)[np.newaxis])[0]
    np.testing.assert_allclose(page.answer()["probabilities"], expected, atol=2e-2)


# Private, offline, for everybody.


def test_nothing_is_asked_of_anybody_once_the_page_is_loaded(page, server, written, photograph):
    page.until(lambda: page.run("return navigator.serviceWorker.controller !== null"))
    page.browser.get_log("performance")
    asked = len(server.asked)
    page.run("document.querySelector('#sample').click()")
    page.settle()
    page.choose(written(photograph))
    page.run("document.getElementById('eight').click()")
    page.until(lambda: page.answer()["views"] == 8)
    log = page.browser.get_log("performance")
    events = [json.loads(entry["message"])["message"] for entry in log]
    sent = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert [url for url in sent if not url.startswith(("blob:", "data:"))] == []
    assert len(server.asked) == asked
    assert page.run("return document.cookie + localStorage.length + sessionStorage.length") == "00"
    kept = page.browser.execute_async_script(
        "const done = arguments[0]; (async () => { const found = [];"
        "for (const name of await caches.keys())"
        "for (const one of await (await caches.open(name)).keys()) found.push(one.url);"
        "done(found) })()"
    )
    assert kept and not [url for url in kept if "photograph" in url or "blob" in url]


def test_neither_page_nor_worker_can_reach_another_server(page, built):
    other = Server(built)
    try:
        reach = (
            "const [address, done] = arguments; const code ="
            "`fetch('${address}').then(() => postMessage('sent'), () => postMessage('refused'))`;"
            "const worker = new Worker(URL.createObjectURL("
            "new Blob([code], { type: 'text/javascript' })), { type: 'module' });"
            "worker.onerror = () => done('failed');"
            "worker.onmessage = (event) => fetch(address)"
            ".then(() => done('sent'), () => done(event.data))"
        )
        assert page.browser.execute_async_script(reach, other.address) == "refused"
        assert other.asked == []
    finally:
        other.stop()


def test_page_works_without_a_network_after_one_visit(browser, built):
    running = Server(built)
    page = Page(browser)
    page.open(running.address)
    page.until(lambda: page.run("return navigator.serviceWorker.controller !== null"))
    asked = sum(path.endswith(".onnx") for path in running.asked)
    browser.get(running.address + "docs")  # of another program at this address
    page.says("Error response")
    running.stop()
    page.open(running.address)
    page.run("document.querySelector('#sample').click()")
    page.settle()
    page.says("Malignant", "Drawn by code")
    assert asked == 1  # the network came once, and not a second time for the copy


def test_a_picture_chosen_while_the_network_loads_waits_for_it(browser, built, photograph, written):
    slow = Server(built)
    slow.has_network.clear()
    page = Page(browser)
    try:
        browser.get(slow.address)
        page.until(lambda: "MB" in page.find("#loading-text").text)
        page.find("#files").send_keys(str(written(photograph)))
        page.until(lambda: page.run("return lesions.pictures.size") == 1)
        assert not page.run("return lesions.ready")
        slow.has_network.set()
        page.settle()
        assert sum(page.answer()["probabilities"]) == pytest.approx(1, abs=1e-4)
    finally:
        slow.stop()


def test_a_page_without_its_network_says_so_and_takes_no_pictures(browser, built, tmp_path):
    shutil.copytree(built, tmp_path / "site")
    (tmp_path / "site/data/network.onnx").unlink()
    incomplete = Server(tmp_path / "site")
    page = Page(browser)
    try:
        browser.get(incomplete.address)
        page.says("The network could not be loaded")
        page.run("document.querySelector('#sample').click()")
        page.says("The network could not be loaded")
        assert page.run("return lesions.pictures.size") == 0
    finally:
        incomplete.stop()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_is_accessible_and_fits_narrow_screens(page, server, scheme):
    page.open(server.address)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    page.run("document.querySelector('#sample').click()")
    page.settle()
    page.run((REPOSITORY / "site/node_modules/axe-core/axe.min.js").read_text())
    for width in (1280, 768, 320):
        metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        assert page.run("return document.documentElement.scrollWidth") <= width
        found = page.browser.execute_async_script("axe.run().then(arguments[0])")
        assert len(found["passes"]) > 20
        assert [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == []
    notice = page.find("#notice")
    box = page.run(
        "const b = arguments[0].getBoundingClientRect(); return [b.top, b.bottom]", notice
    )
    assert notice.text == classes.NOTICE and 0 < box[0] < box[1] <= 800
    page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
