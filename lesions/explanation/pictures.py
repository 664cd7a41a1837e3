"""Pictures of heat maps: laid over the photograph, and in three panels with title and credit."""

from pathlib import Path

import cv2
import numpy as np

from lesions.classes import CREDIT, NAMES, NOTICE, in_a_sentence
from lesions.system.files import replacing

# Viridis is perceptual, safe for colour-blind readers, and its green and yellow stand out from
# skin; inferno and turbo have reds and browns that look like the lesion beneath.
COLOUR_MAP = "viridis"


def _fitted(heat_map: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Return the heat map, clipped to 0-1, at the image's size."""
    if image.dtype != np.uint8:
        raise ValueError(f"The image is {image.dtype}; pass uint8, RGB from 0 to 255.")
    return cv2.resize(np.clip(heat_map, 0.0, 1.0).astype(np.float32), image.shape[1::-1])


def overlay(image: np.ndarray, heat_map: np.ndarray, opacity: float = 0.45) -> np.ndarray:
    """Lay a heat map over its image, so that only what is hot is tinted.

    Args:
        image: uint8, (height, width, 3), RGB.
        heat_map: float, (h, w), 0-1; resized to the image where the sizes differ.
        opacity: Share of colour, 0-1, where the map is 0.5 or more; it fades to 0 below that.

    Returns:
        uint8, (height, width, 3), RGB.

    Raises:
        ValueError: If the image is not uint8.
    """
    heat_map = _fitted(heat_map, image)
    levels = np.round(heat_map * 255).astype(np.uint8)
    colours = cv2.applyColorMap(levels, getattr(cv2, f"COLORMAP_{COLOUR_MAP.upper()}"))
    colours = cv2.cvtColor(colours, cv2.COLOR_BGR2RGB)
    share = opacity * np.minimum(heat_map / 0.5, 1.0)[..., np.newaxis]
    return np.round(image * (1.0 - share) + colours * share).astype(np.uint8)


def _class_name(code: str) -> str:
    return f"{in_a_sentence(NAMES[code])} ({code})"


def three_panels(
    image: np.ndarray,
    heat_map: np.ndarray,
    true_code: str | None,
    predicted_code: str,
    probability: float,
    credit: str = CREDIT,
    explained_code: str | None = None,
):
    """Show an image, its heat map and the overlay side by side.

    Args:
        image, heat_map: As in `overlay`.
        true_code: The diagnosis, for example "mel"; None where nobody knows it.
        predicted_code: The model's answer.
        probability: The probability of that answer, 0-1.
        credit: Where the image is from; "Synthetic demo image" for the demo set.
        explained_code: The class that the heat map explains; None for the model's answer.

    Returns:
        The Matplotlib figure, not shown.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(10, 3.9), dpi=100, layout="constrained")
    heat_map = _fitted(heat_map, image)
    axes[0].imshow(image)
    colours = axes[1].imshow(heat_map, cmap=COLOUR_MAP, vmin=0, vmax=1)
    axes[2].imshow(overlay(image, heat_map))
    for axis, label in zip(axes, ("Image", "Heat map", "Overlay"), strict=True):
        axis.set(xticks=[], yticks=[])
        axis.set_xlabel(label)
        axis.grid(False)
    # An inset beside the panel keeps all three panels the same size.
    bar = figure.colorbar(colours, cax=axes[1].inset_axes([1.03, 0, 0.05, 1]))
    bar.set_ticks([0, 0.5, 1], labels=["0", "0.5", "1"])
    bar.outline.set_visible(False)
    title = "" if true_code is None else f"True: {_class_name(true_code)} · "
    title += f"Predicted: {_class_name(predicted_code)}, {probability:.0%}"
    if explained_code not in (None, predicted_code):
        title += f" · Heat map for: {explained_code}"
    figure.get_layout_engine().set(w_pad=0.1)
    figure.suptitle(title, fontsize=11)
    # As the figure's x label the footer has its own room in the layout and cannot be overlapped.
    figure.supxlabel(f"{credit}. {NOTICE}", fontsize=8, color="dimgrey")
    return figure


def save_example(path: str | Path, *panels, **options) -> Path:
    """Write `three_panels` of the other arguments as a JPEG of 1000 x 390 pixels; its path."""
    import matplotlib.pyplot as plt

    figure = three_panels(*panels, **options)
    try:
        with replacing(path) as temporary:
            figure.savefig(temporary, format="jpeg", dpi=100, pil_kwargs={"quality": 90})
    finally:
        plt.close(figure)
    return Path(path)
