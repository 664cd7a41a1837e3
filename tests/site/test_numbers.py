"""What the page computes by itself, against the code that it must agree with."""

import json
import shutil
import struct
import subprocess

import cv2
import numpy as np
import pytest

from lesions import evaluation
from lesions.data import Patient, images
from lesions.data.cells import to_cell
from lesions.evaluation import patient_data
from lesions.explanation import explainer
from lesions.inference import familiarity
from lesions.system.folders import REPOSITORY

MODULES = ("answer", "crop", "heatmap", "picture", "resize", "result")


@pytest.fixture
def javascript(tmp_path):
    """Run lines in Node.js that may use a file of bytes; they print JSON."""
    if not shutil.which("node"):
        pytest.skip("Node.js is not installed; install the Debian package nodejs")

    def run(lines, content=b""):
        (tmp_path / "bytes").write_bytes(content)
        folder = tmp_path / "site"
        if not folder.is_dir():
            shutil.copytree(REPOSITORY / "site", folder, ignore=lambda *_: ["node_modules"])
        imports = [f"import * as {name} from './{name}.js';" for name in MODULES]
        script = folder / "script.js"
        reading = (
            "import { readFileSync } from 'node:fs';"
            "const bytes = Uint8Array.from(readFileSync('../bytes'));"
        )
        script.write_text("\n".join([*imports, reading, lines]))
        done = subprocess.run(
            ["node", script.name], cwd=folder, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout)

    return run


def photograph(side, seed=0):
    """A square with detail at every scale."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(0, 255, (9, 9, 3))
    coarse = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    noise = random.normal(0, 25, (side, side, 3))
    return np.clip(coarse + noise, 0, 255).astype(np.uint8)


def rgba(image):
    return cv2.cvtColor(image, cv2.COLOR_RGB2RGBA).tobytes()


@pytest.mark.parametrize("side", [450, 384, 193, 576, 1023, 192, 191, 100, 17])
def test_resize_is_that_of_opencv(javascript, side):
    image = photograph(side)
    printed = javascript(
        f"console.log(JSON.stringify([...resize.resizeSquare(bytes, {side}, 192)]))", rgba(image)
    )
    found = np.array(printed).reshape(192, 192, 3)
    expected = images.resize(image, 192).astype(int)
    assert np.abs(found - expected).max() <= 1
    # Enlarging, OpenCV rounds in floating point where the processor has the instructions for it.
    assert (found != expected).mean() < (1e-3 if side >= 192 else 0.05)


def test_centre_square_is_that_of_predict(javascript):
    sizes = [(600, 450), (451, 600), (7, 8), (33, 33)]
    found = javascript(
        f"const squares = {json.dumps(sizes)}.map(([w, h]) => resize.centreSquare(w, h));"
        "console.log(JSON.stringify(squares))"
    )
    for (width, height), square in zip(sizes, found, strict=True):
        numbered = np.arange(width * height).reshape(height, width)
        cut = images.centre_square(numbered)
        assert cut.shape == (square["side"],) * 2
        assert cut[0, 0] == square["top"] * width + square["left"]


def test_correction_and_decision_rule_are_those_of_predict(javascript):
    random = np.random.default_rng(1)
    raw = random.dirichlet(np.full(7, 0.2), 50)
    frequencies = random.dirichlet(np.full(7, 5.0))
    correction = evaluation.Correction(0.8, 0.6, tuple(frequencies))
    network = {"correction": correction.to_details(), "decision_strength": 0.4}
    found = javascript(
        f"const network = {json.dumps(network)};"
        f"const rows = {json.dumps(raw.tolist())}.map((row) => answer.corrected(row, network));"
        "const labels = rows.map((row) => answer.decide(row, network));"
        "console.log(JSON.stringify({ rows, labels }))"
    )
    expected = correction.apply(raw)
    np.testing.assert_allclose(found["rows"], expected, atol=1e-6)
    assert found["labels"] == evaluation.decide(expected, frequencies, 0.4).tolist()


@pytest.mark.parametrize("side", [600, 200])
def test_sharpness_is_that_of_predict(javascript, side):
    lines = (
        f"const focus = Math.min(256, {side});"
        f"const square = resize.resizeSquare(bytes, {side}, focus);"
        "console.log(answer.sharpness(square, focus))"
    )
    for image in (photograph(side), cv2.GaussianBlur(photograph(side), (0, 0), 4)):
        expected = familiarity.sharpness(image)
        assert javascript(lines, rgba(image)) == pytest.approx(expected, abs=0.02)


def test_distance_is_that_of_predict_though_kept_in_bytes(javascript):
    random = np.random.default_rng(2)
    known = np.clip(random.normal(size=(40, 96)), -10, 10).astype(np.float32)
    centre, spread = random.normal(size=96), random.uniform(0.5, 2, 96)
    features = random.normal(size=96) * 2
    fitted = familiarity.Familiarity("test", centre, spread, known, 1.0, 0.0)
    described = {
        "centre": centre.tolist(),
        "spread": spread.tolist(),
        "clip": familiarity.CLIP,
        "step": familiarity.CLIP / 127,
        "neighbours": familiarity.NEIGHBOURS,
    }
    stored = np.round(known / described["step"]).astype(np.int8)
    found = javascript(
        "const known = new Int8Array(bytes.buffer);"
        f"console.log(answer.distance({features.tolist()}, {json.dumps(described)}, known))",
        stored.tobytes(),
    )
    assert found == pytest.approx(fitted.distances(features[np.newaxis])[0], rel=0.01)


def test_map_is_enlarged_and_normalised_as_grad_cam_is(javascript):
    small = np.random.default_rng(3).normal(size=(6, 6)).astype(np.float32)
    found = javascript(
        f"const map = heatmap.enlargedMap({small.ravel().tolist()}, 6, 6, 192);"
        "console.log(JSON.stringify([...map]))"
    )
    expected = explainer.normalised(cv2.resize(np.maximum(small, 0), (192, 192))[np.newaxis])[0]
    np.testing.assert_allclose(np.reshape(found, (192, 192)), expected, atol=1e-5)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp"])
def test_size_is_read_from_the_header_and_a_cut_file_is_noticed(javascript, suffix):
    content = cv2.imencode(suffix, photograph(120)[:50])[1].tobytes()
    lines = (
        "const kind = picture.kindOf(bytes);"
        "console.log(JSON.stringify([picture.sizeOf(bytes, kind), picture.isWhole(bytes, kind)]))"
    )
    assert javascript(lines, content) == [[120, 50], True]
    if suffix in (".jpg", ".png"):
        assert javascript(lines, content[:-30]) == [[120, 50], False]


@pytest.mark.parametrize(
    ("brands", "kind"),
    [("avifmif1", "heic"), ("heicmif1", "heic"), ("qt  ", ""), ("isomiso2avc1mp41", "")],
)
def test_a_film_is_no_picture(javascript, brands, kind):
    content = struct.pack(">I", 16 + len(brands)) + b"ftyp" + brands.encode() + bytes(8)
    assert javascript("console.log(JSON.stringify(picture.kindOf(bytes)))", content) == kind


def test_square_stays_inside_the_picture_and_keeps_its_middle(javascript):
    moved, smaller, larger = javascript(
        "console.log(JSON.stringify([crop.inside({ left: -5, top: 90, side: 60 }, 200, 100),"
        "crop.resized({ left: 50, top: 20, side: 60 }, 40, 200, 100),"
        "crop.resized({ left: 50, top: 20, side: 60 }, 900, 200, 100)]))"
    )
    assert moved == {"side": 60, "left": 0, "top": 40}
    assert smaller == {"side": 40, "left": 60, "top": 30}
    assert larger == {"side": 100, "left": 30, "top": 0}


# A canvas that takes all that is drawn.
CROPPER = """
const nothing = () => {};
const context = new Proxy({}, { get: () => nothing, set: () => true });
const asked = [];
const canvas = { addEventListener: nothing, getContext: () => context };
const cropper = new crop.Cropper(canvas, nothing, (...one) => asked.push(one));
const image = { width: 200, height: 100 };
const [first, second] = [{ left: 50, top: 0, side: 100 }, { left: 0, top: 0, side: 60 }];
cropper.show("one", image, 200, 100, first);
cropper.set(second);
cropper.show(KEY, image, 200, 100, first);
setTimeout(() => console.log(JSON.stringify([asked, cropper.square])), 500);
"""


def test_a_moved_square_is_asked_about_whatever_answer_comes_meanwhile(javascript):
    first, second = {"left": 50, "top": 0, "side": 100}, {"left": 0, "top": 0, "side": 60}
    asked, square = javascript(CROPPER.replace("KEY", "'one'"))
    assert (asked, square) == ([["one", second]], second)
    asked, square = javascript(CROPPER.replace("KEY", "'another'"))
    assert (asked, square) == ([["one", second]], first)


def test_patient_is_described_as_in_the_app(javascript):
    cases = [("62.5", "female", "lower extremity"), ("0", "", ""), ("120", "", ""), ("", "", "")]
    cases += [("-3", "male", ""), ("121", "male", "")]  # which the app does not take
    given = [dict(zip(("age", "sex", "localization"), case, strict=True)) for case in cases]
    found = javascript(f"console.log(JSON.stringify({json.dumps(given)}.map(answer.described)))")
    expected = [Patient.read(*case).describe() for case in cases[:4]]
    assert found == [*expected, "male", "male"]


def test_age_sex_and_site_count_as_they_do_in_the_evaluation(javascript):
    random = np.random.default_rng(4)
    categories = {
        "age": ["0", "50", "80", "unknown"],
        "sex": ["female", "male", "unknown"],
        "localization": ["back", "lower extremity", "unknown"],
    }
    tables = {
        name: {one: random.normal(size=7).tolist() for one in ones}
        for name, ones in categories.items()
    }
    frequencies = tuple(random.dirichlet(np.full(7, 5.0)))
    intercepts = tuple(random.normal(size=7))
    fusion = patient_data.Fusion(0.9, -0.7, 0.6, frequencies, intercepts, tables)
    patients = [("", "", ""), (57, "male", ""), (93, "", "lower extremity"), (5, "female", "back")]
    probabilities = random.dirichlet(np.ones(7), len(patients))
    rows = [{"age": str(age), "sex": sex, "localization": site} for age, sex, site in patients]
    found = javascript(
        f"const fusion = {json.dumps(fusion.to_details())}; const rows = {json.dumps(rows)};"
        f"const probabilities = {json.dumps(probabilities.tolist())};"
        "console.log(JSON.stringify(rows.map((patient, row) =>"
        "answer.withPatient(probabilities[row], patient, fusion))))"
    )
    ages = [float(age) if age else np.nan for age, _, _ in patients]
    expected = fusion.apply(probabilities, ages, *list(zip(*patients, strict=True))[1:])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(expected[1:] - probabilities[1:]).max(axis=1).min() > 0.01


def test_names_in_the_table_are_those_of_predict(javascript):
    names = [
        "=1+1.jpg",
        "-a.jpg",
        "a-b.jpg",
        "50%.png",
        "a\tb\u00a0c.jpg",
        "b\u2028c",
        "Müller 1.jpg",
    ]
    lines = f"console.log(JSON.stringify({json.dumps(names)}.map(result.cell)))"
    assert javascript(lines) == [to_cell(name) for name in names]
