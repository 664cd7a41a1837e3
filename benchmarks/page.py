"""The page in the browser: how many bytes, how soon the first answer, and which weights.

Run from the repository's root, with Chromium, chromedriver and npm installed, after `make site`,
which installs what the page needs: python benchmarks/page.py
"""

from __future__ import annotations

import argparse
import functools
import gzip
import http.server
import shutil
import tempfile
import threading
import time
from pathlib import Path

import measuring
import numpy as np

SECONDS_BAR = 2.0  # a view on two cores
ACCURACY_BAR = 0.002  # by which a smaller file may differ
PROBABILITY_BAR = 1e-3  # by which the page may differ from `predict`
BITS = {"16 bits": "float16", "8 bits": "int8"}
# Bits a second down, and seconds there and back.
NETWORK = (20e6, 0.04)
PATIENCE = 300


def compare_weights(model, number: int) -> None:
    """Print what 16 and 8 bits a weight cost on validation photographs, one view each.

    Args:
        model: Path of the network.
        number: Photographs at most.
    """
    from lesions import export, inference
    from lesions.serving import site

    classifier = inference.Classifier(model, tta=False)
    rows = measuring.photographs(10**9)
    rows = rows[rows["split"] == "validation"].head(number)
    prepared = np.stack([classifier.prepare(path) for path in rows["image_path"]])
    with tempfile.TemporaryDirectory() as folder:
        written = {
            name: site.write_network(classifier, Path(folder) / f"{precision}.onnx", precision)
            for name, precision in BITS.items()
        }
        table = export.compare(classifier, written, prepared, rows["label"].to_numpy())
    print(f"{len(rows)} validation photographs, one view each:")
    print(table.round(5).to_string(), flush=True)
    accuracy = table["balanced_accuracy"]
    for name in BITS:
        kept = 1 - abs(accuracy[name] - accuracy.iloc[0])
        print(measuring.verdict(f"balanced accuracy kept, {name}", kept, 1 - ACCURACY_BAR, True))
        largest = table.loc[name, "largest_difference"]
        print(measuring.verdict(f"probability off by, {name}", largest, PROBABILITY_BAR, False))


def serve(folder: Path):
    """Serve a folder on this computer; returns the server, which has the address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def start_browser(profile: str):
    """Start headless Chromium with a profile of its own."""
    from selenium import webdriver

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for switch in ("headless", "no-sandbox", "disable-dev-shm-usage", f"user-data-dir={profile}"):
        options.add_argument(f"--{switch}")
    return webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))


def visit(browser, address: str, eight: bool) -> dict[str, float]:
    """Open the page, click the sample, and wait for its answer.

    Returns:
        Seconds from the start of the visit: network ready, first answer; and the seconds of one
        view and, where wanted, of eight.
    """

    def when(condition):
        until = time.monotonic() + PATIENCE
        while not browser.execute_script(f"return Boolean({condition})"):
            if time.monotonic() > until:
                raise ValueError(f"The page did not reach {condition}; look at its console.")
            time.sleep(0.02)
        return browser.execute_script("return performance.now() / 1000")

    browser.get(address)
    found = {"ready": when("globalThis.lesions?.ready")}
    browser.execute_script("document.getElementById('sample').click()")
    picture = "[...lesions.pictures.values()][0]"
    found["first answer"] = when(f"{picture}.answer")
    found["one view"] = browser.execute_script(f"return {picture}.seconds")
    if eight:
        browser.execute_script("document.getElementById('eight').click()")
        when(f"{picture}.found.views === 8")
        found["eight views"] = browser.execute_script(f"return {picture}.seconds")
    when("navigator.serviceWorker.controller")  # so that the next visit is from the copy
    return found


def measure_visits(folder: Path, repeats: int) -> None:
    """Print bytes and seconds of first and second visits."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    total = sum(path.stat().st_size for path in files)
    packed = sum(len(gzip.compress(path.read_bytes(), 6)) for path in files)
    print(f"{len(files)} files, {total / 1e6:.1f} MB, {packed / 1e6:.1f} MB compressed (gzip).")
    server = serve(folder)
    address = f"http://127.0.0.1:{server.server_port}/"
    views = []
    down, latency = NETWORK
    for name, throttled in (("this computer", False), (f"{down / 1e6:.0f} Mbit/s", True)):
        for number in range(repeats):
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
                browser = start_browser(profile)
                if throttled:
                    browser.set_network_conditions(
                        latency=1000 * latency, download_throughput=down / 8, upload_throughput=down
                    )
                first, second = visit(browser, address, True), visit(browser, address, False)
                browser.quit()
            views.append(first["one view"])
            for which, seconds in (("first", first), ("second", second)):
                listed = ", ".join(f"{key} {value:.2f} s" for key, value in seconds.items())
                print(f"{which} visit {number + 1}, {name}: {listed}", flush=True)
    server.shutdown()
    print(measuring.verdict("seconds of one view", float(np.median(views)), SECONDS_BAR, False))


def main() -> None:
    """Measure and print."""
    from lesions.inference import BEST_MODEL

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=BEST_MODEL, help="the network of the page")
    parser.add_argument("--images", type=int, default=10**9, help="validation photographs at most")
    parser.add_argument("--repeats", type=int, default=3, help="visits of each kind; 0 for none")
    options = parser.parse_args()
    if options.images:
        compare_weights(options.model, options.images)
    if options.repeats:
        from lesions.serving import site

        with tempfile.TemporaryDirectory() as folder:
            page = site.write(Path(folder) / "site", options.model)
            measure_visits(page, options.repeats)


if __name__ == "__main__":
    main()
