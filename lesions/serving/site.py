"""Write the page that computes in the reader's browser.

The page is plain files; building it is copying them, exporting the network and writing what the
app says as JSON, so that both say the same. Nothing that is built is committed.
"""

import hashlib
import json
import shutil
import warnings
from pathlib import Path

import cv2
import keras
import numpy as np

from lesions import classes, data, inference
from lesions.data import demo, images
from lesions.explanation import pictures
from lesions.export import onnx_file
from lesions.inference import familiarity
from lesions.serving import texts, track_record
from lesions.system import console, files, hardware

SOURCE = data.REPOSITORY / "site"
PAGES = ("*.html", "*.css", "*.js", "*.svg")
RUNTIME = [
    SOURCE / "node_modules" / "onnxruntime-web" / "dist" / name
    for name in ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
]
# 8 bits a weight are half as many bytes, but the page must agree with `predict` to .001:
# benchmarks/page.py measures what each precision costs.
PRECISION = "float16"
MAXIMUM_NETWORK_BYTES = 15_000_000
MAXIMUM_PICTURE_BYTES = 200_000_000
# Whole steps of the familiarity features in a signed byte.
STEPS = 127
SAMPLE = "mel"


def write(output, model_path=inference.BEST_MODEL) -> Path:
    """Write the page with everything that it needs, for any static host; returns the folder.

    An earlier page is replaced once the new one is whole.

    Raises:
        ValueError: If the runtime is missing, the network cannot be shown by the page, or the
            folder holds something else.
    """
    output = Path(output)
    if output.exists() and not (output / "data" / "site.json").is_file():
        raise ValueError(f"{output} exists already and is not a page; choose another --output.")
    classifier = inference.Classifier(model_path, tta=False)
    _check(classifier)
    for path in RUNTIME:
        if not path.is_file():
            raise ValueError(f"{path} is missing; install it by `npm install` in {SOURCE}.")
    with files.replacing(output) as folder:
        (folder / "data").mkdir(parents=True)
        (folder / "runtime").mkdir()
        for pattern in PAGES:
            for path in SOURCE.glob(pattern):
                shutil.copyfile(path, folder / path.name)
        for path in RUNTIME:
            shutil.copyfile(path, folder / "runtime" / path.name)
        write_network(classifier, folder / "data" / "network.onnx")
        _write_index(_facts(classifier, folder), folder)
    return output


def _check(classifier) -> None:
    hardware.require_tensorflow("The page needs")
    classifier.require_keras("Pages")
    details = classifier.details
    constancy = details.get("colour_constancy")
    if constancy or len(classifier.model.inputs) > 1:
        raise ValueError(
            f"{classifier.path} needs {constancy or 'the patient'}, which the page cannot compute; "
            "name another network."
        )


def write_network(classifier, path: Path, precision: str = PRECISION) -> Path:
    """Write the network of the page, `precision` as of `onnx_file.write`; returns the path.

    Its outputs are probabilities (n, 7), activation_maps (n, h, w, 7), where the network allows
    them, and features (n, features), as `familiarity.features_of`.

    Raises:
        ValueError: If the file is too large for a page, or a package is missing.
    """
    outputs = onnx_file.with_activation_maps(classifier.model).outputs
    features = familiarity.features_layer(classifier.model)
    model = keras.Model(classifier.model.inputs, [*outputs, features])
    size = classifier.image_size
    # Keras exports only what was called before, and by the inputs' names without a warning.
    with warnings.catch_warnings(), console.quiet_stderr():
        warnings.simplefilter("ignore")
        model({model.inputs[0].name: np.zeros((1, size, size, 3), np.float32)})
        onnx_file.write(model, path, precision)
    size = path.stat().st_size
    if size > MAXIMUM_NETWORK_BYTES:
        raise ValueError(
            f"{classifier.path} makes {size / 1e6:.0f} MB, over the page's limit of "
            f"{MAXIMUM_NETWORK_BYTES / 1e6:.0f} MB; name a smaller network."
        )
    return path


def _facts(classifier, folder: Path) -> dict:
    """Collect what the page says and computes with; writes sample and features to the folder."""
    details = classifier.details
    levels = np.arange(256, dtype=np.uint8)[:, np.newaxis]
    colour_map = getattr(cv2, f"COLORMAP_{pictures.COLOUR_MAP.upper()}")
    colours = cv2.applyColorMap(levels, colour_map)
    return {
        "network": {
            "architecture": details["architecture"],
            "run": details.get("run"),
            "image_size": classifier.image_size,
            "correction": classifier.correction.to_details(),
            "decision_strength": details["decision_strength"],
            **_file(folder, "data/network.onnx"),
        },
        "runtime": _file(folder, f"runtime/{RUNTIME[1].name}"),
        "classes": [vars(lesion_class) for lesion_class in classes.CLASSES],
        "colours": colours[:, 0, ::-1].tolist(),
        "familiarity": _familiarity(classifier, folder),
        "texts": texts.TEXTS,
        "problems": _problems(),
        "record": _record(classifier),
        "patient": details.get("patient_fusion"),
        "sample": _sample(folder),
        "limits": {
            "pixels": images.MAXIMUM_PIXELS,
            "side": images.MINIMUM_SIDE,
            "bytes": MAXIMUM_PICTURE_BYTES,
        },
    }


def _file(folder: Path, name: str) -> dict:
    return {"file": name, "bytes": (folder / name).stat().st_size}


def _familiarity(classifier, folder: Path) -> dict | None:
    """Write the training photographs' features in a byte each; None where they are not known."""
    fitted, _ = familiarity.find_for(classifier)
    if fitted is None:
        return None
    step = familiarity.CLIP / STEPS
    name = "data/familiarity.bin"
    np.round(fitted.known / step).astype(np.int8).tofile(folder / name)
    return {
        "far": fitted.far,
        "blurred": fitted.blurred,
        "centre": fitted.centre.tolist(),
        "spread": fitted.spread.tolist(),
        "clip": familiarity.CLIP,
        "step": step,
        "neighbours": familiarity.NEIGHBOURS,
        **_file(folder, name),
    }


def _record(classifier) -> dict | None:
    """Write out what testing says, for every class and every hundredth of probability."""
    record = track_record.read(classifier)
    if record is None:
        return None
    return {
        "when_given": [record.when_given(is_known) for is_known in (False, True)],
        "when_named": [record.when_named(code) for code in classes.CODES],
        "when_true": [record.when_true(code) for code in classes.CODES],
        "when_as_sure": [record.when_as_sure(percent / 100) for percent in range(101)],
        "headline": record.headline,
        "elsewhere": [record.elsewhere(code) for code in classes.CODES],
    }


def _problems() -> dict[str, str]:
    """Collect the sentences about pictures that cannot be used, with {name} and other places."""
    return images.PROBLEMS | {
        "too_many_bytes": f"{{name}} has {{megabytes}} MB, over the limit of "
        f"{MAXIMUM_PICTURE_BYTES / 1e6:.0f} MB; reduce it first.",
        "heic": "{name} is a HEIC or AVIF picture, which this browser cannot read; convert it to "
        "JPEG (on an iPhone: Settings, Camera, Formats, Most Compatible, or share it by mail).",
        "failed": "{name} could not be computed on this device; close other pages, or try a "
        "smaller picture.",
        "not_loaded": "The network could not be loaded; check the connection, use a browser of "
        "the last two years, and load the page again.",
    }


def _sample(folder: Path) -> dict:
    """Draw a photograph of nobody's skin, by the demo set."""
    drawn = demo.draw_lesion(SAMPLE, np.random.default_rng(4))
    picture, _ = demo.photograph(*drawn, np.random.default_rng(5))
    name = "data/sample.jpg"
    jpeg = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
    (folder / name).write_bytes(jpeg.tobytes())
    return {"file": name, "name": "sample.jpg", "credit": "Drawn by code, of nobody's skin"}


def _write_index(facts: dict, folder: Path) -> None:
    """Write site.json and the list of files for offline use, both with the site's version."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in names:
        digest.update(name.encode() + (folder / name).read_bytes())
    version = digest.hexdigest()[:12]
    described = json.dumps({"version": version, **facts}, ensure_ascii=False)
    (folder / "data" / "site.json").write_text(described, encoding="utf-8")
    # Some hosts answer for index.html by leading to its folder, and what was led cannot be kept.
    kept = ["./" if name == "index.html" else name for name in [*names, "data/site.json"]]
    lines = f"const VERSION = {json.dumps(version)};\nconst FILES = {json.dumps(kept)};\n"
    (folder / "files.js").write_text(lines)
