"""One page about one picture, to keep or to print."""

import io
import textwrap

import numpy as np
from matplotlib.figure import Figure

from lesions import classes, explanation, figures
from lesions.serving.assessment import Assessment
from lesions.serving.texts import TEXTS, basis

PAGE = (8.27, 11.69)  # A4 in inches
DPI = 120
LINE = 98


def one_page(
    assessment: Assessment,
    heat_map: np.ndarray,
    explained: str,
    record: list[str],
    model: str,
    opacity: float = 0.45,
) -> bytes:
    """Draw picture, heat map, probabilities and the record in testing on one A4 page.

    Args:
        assessment: What is drawn.
        heat_map: float, (h, w), 0-1.
        explained: Code of the class that the heat map explains.
        record: Sentences from `track_record.TrackRecord.sentences`; may be empty.
        model: The network, in a few words.
        opacity: Of the heat map over the picture, 0-1.

    Returns:
        A PNG file of 992 x 1402 pixels.
    """
    # Not by pyplot, whose list of open figures threads would share.
    page = Figure(PAGE, dpi=DPI, facecolor="white")
    _draw_heading(page, assessment, model)
    square = assessment.picture.shown
    overlay = explanation.overlay(square, heat_map, opacity)
    titles = ("The picture's centre square", f"Evidence for {explained} (Grad-CAM)")
    for left, picture, title in zip((0.08, 0.52), (square, overlay), titles, strict=True):
        axes = page.add_axes((left, 0.527, 0.40, 0.283))
        axes.imshow(picture)
        axes.set_title(title, fontsize=10)
        axes.set_axis_off()
    bars = page.add_axes((0.14, 0.335, 0.76, 0.165))
    figures.probability_bars(assessment.probabilities, assessment.predicted, ax=bars)
    bars.set_title(TEXTS["probability"], fontsize=10)
    warned = [f"Warning: {sentence}" for sentence in assessment.warnings]
    page.text(0.08, 0.275, _wrapped([*warned, *record]), size=9, va="top", linespacing=1.35)
    page.text(0.08, 0.055, classes.NOTICE, size=12, weight="bold")
    page.text(0.08, 0.037, TEXTS["advice"], size=9, color="dimgrey")
    buffer = io.BytesIO()
    page.savefig(buffer, format="png")
    return buffer.getvalue()


def _draw_heading(page: Figure, assessment: Assessment, model: str) -> None:
    """Draw the title, the source, the class, its probability and its description."""
    lesion_class = classes.BY_CODE[assessment.predicted]
    name = "".join(one if one.isprintable() else "?" for one in assessment.picture.name[:70])
    answer = (
        f"probability {assessment.probability:.0%} · malignant {assessment.malignant:.0%}, "
        f"benign {1 - assessment.malignant:.0%}"
    )
    page.text(0.08, 0.961, TEXTS["title"], size=17, weight="bold")
    page.text(0.08, 0.941, f"{name} · {model}", size=9, color="dimgrey", parse_math=False)
    page.text(0.08, 0.909, f"{lesion_class.name} ({lesion_class.code})", size=15)
    page.text(0.08, 0.888, answer, size=11)
    below = _wrapped([basis(assessment.picture.patient), lesion_class.description])
    page.text(0.08, 0.880, below, size=9, va="top")


def _wrapped(sentences: list[str]) -> str:
    return "\n".join(textwrap.fill(sentence, LINE) for sentence in sentences)
