"""The app in a real browser: what Streamlit's own test cannot see; the rest is in test_app."""

import os
import socket
import subprocess
import sys
import time
import urllib.request

import cv2
import numpy as np
import pytest
from PIL import Image

from lesions import classes
from lesions.system.folders import REPOSITORY

pytest.importorskip("streamlit", reason="streamlit is not installed; see requirements-app.txt")
pytest.importorskip("qrcode", reason="qrcode is not installed; see requirements-app.txt")
pytest.importorskip("selenium", reason="selenium is not installed; see requirements-dev.txt")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

pytestmark = pytest.mark.slow
PATIENCE = 300


@pytest.fixture(scope="module")
def address(tiny_model, tmp_path_factory):
    """The running app, on a tiny network; whatever it writes would show in its folder."""
    folder = tmp_path_factory.mktemp("app")
    (folder / "temporary").mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", f"--server.port={port}"]
    environment = {
        **os.environ,
        "LESIONS_MODEL": str(tiny_model),
        "TMPDIR": str(folder / "temporary"),
        "PYTHONPATH": str(REPOSITORY),
    }
    with open(folder / "log.txt", "w") as log:
        app = subprocess.Popen(
            [*command, "--server.headless=true"],
            cwd=REPOSITORY,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for_health(app, address, folder / "log.txt")
        yield address
    finally:
        app.terminate()
        app.wait(PATIENCE)  # a busy machine ends slowly, too
    assert "Traceback" not in (folder / "log.txt").read_text()
    files = [path for path in (folder / "temporary").rglob("*") if path.is_file()]
    starts = {path.name: path.read_bytes()[:4] for path in files}
    assert not {b"\xff\xd8\xff\xe0", b"\x89PNG"} & set(starts.values()), "a picture was written"


def wait_for_health(app, address, log):
    for _ in range(PATIENCE * 2):
        assert app.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(log.read_text())


class Page:
    """The app in the browser, freshly loaded."""

    def __init__(self, browser, address):
        self.browser = browser
        browser.get(address)
        self.find("input[type=file]")

    def find(self, selector):
        """The first element of a CSS selector, once it is there."""
        return self.until(lambda: self.browser.find_elements(By.CSS_SELECTOR, selector))[0]

    def until(self, condition):
        return WebDriverWait(self.browser, PATIENCE).until(lambda _: condition())

    @property
    def text(self):
        return self.browser.execute_script("return document.body.innerText")

    def says(self, *words):
        """Wait until the page says all these words and is at rest, and return its text."""
        self.until(lambda: all(word in self.text for word in words) and not self.is_busy())
        assert "Traceback" not in self.text
        return self.text

    def is_busy(self):
        return self.browser.find_elements(By.CSS_SELECTOR, "[data-testid=stStatusWidget]")

    def upload(self, *paths):
        self.find("input[type=file]").send_keys("\n".join(map(str, paths)))

    def picture(self):
        """The overlay as the browser shows it."""
        return self.find("[data-testid=stMain] [data-testid=stImage] img").screenshot_as_png

    def download(self, label, name):
        """Press a download button, and return the whole file."""
        buttons = self.browser.find_elements(By.CSS_SELECTOR, "[data-testid=stDownloadButton]")
        chosen = next(button for button in buttons if label in button.text)
        chosen.find_element(By.TAG_NAME, "button").click()
        path = self.browser.downloads / name
        self.until(path.exists)
        return path


def test_upload_change_the_class_and_keep_the_report(browser, address, demo_metadata):
    page = Page(browser, address)
    check_code_to_scan(page)
    page.upload(demo_metadata["image_path"].iloc[0])
    text = page.says("Grad-CAM for", "Malignant", "Download the report")
    assert any(lesion_class.description in text for lesion_class in classes.CLASSES)
    assert page.find("[data-testid=stVegaLiteChart] :is(canvas, svg)").size["height"] > 100
    overlay = page.picture()
    shown = next(code for code in classes.CODES if f"Grad-CAM for {code}," in text)
    other = next(code for code in classes.CODES if code != shown)
    choice = page.find("[data-testid=stMain] [data-testid=stSelectbox] input")
    choice.send_keys(classes.NAMES[other][:12], Keys.ENTER)
    page.says(f"Grad-CAM for {other},")
    assert page.picture() != overlay
    check_notice_is_in_view(page)
    with Image.open(page.download("report", "report.png")) as report:
        assert report.size == (992, 1402) and np.asarray(report.convert("L")).std() > 20


def check_notice_is_in_view(page):
    """The notice is in view wherever one scrolls."""
    notice = page.find(".notice")
    for place in ("0", "document.querySelector('[data-testid=stMain]').scrollHeight"):
        script = f"document.querySelector('[data-testid=stMain]').scrollTo(0, {place})"
        page.browser.execute_script(script)
        box = page.browser.execute_script(
            "const b = arguments[0].getBoundingClientRect();return [b.top, b.bottom, innerHeight]",
            notice,
        )
        assert notice.text == classes.NOTICE and 0 <= box[0] < box[1] <= box[2] + 1


def check_code_to_scan(page):
    """The code for phones is that of the address beside it."""
    code = page.find("[data-testid=stSidebar] img")
    page.until(lambda: code.size["height"] > 0)  # it is in the page before it is drawn
    assert code.size["width"] > 100
    link = page.find("[data-testid=stSidebar] a[href^='http://']").get_attribute("href")
    data = np.frombuffer(code.screenshot_as_png, np.uint8)
    found, *_ = cv2.QRCodeDetector().detectAndDecode(cv2.imdecode(data, cv2.IMREAD_COLOR))
    assert found.rstrip("/") == link.rstrip("/")
    assert link.rstrip("/").endswith(page.browser.current_url.rstrip("/").rsplit(":", 1)[1])
