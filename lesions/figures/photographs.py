"""Grids of photographs: they return figures, and `jpeg` makes them small enough for a notebook."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lesions.classes import CREDIT
from lesions.figures.style import GREY, description

PAGE = 9  # inches, the widest figure that GitHub shows without reducing it


def _check_numbers(number: int, others: Mapping[str, Sequence | None]) -> None:
    if not number:
        raise ValueError("There is no photograph to show; pass at least one.")
    for name, values in others.items():
        if values is not None and len(values) != number:
            raise ValueError(
                f"There are {number} photographs and {len(values)} {name}; pass one for each."
            )


def photo_grid(
    images: Sequence[np.ndarray],
    titles: Sequence[str] | None = None,
    columns: int = 7,
    suptitle: str | None = None,
    credit: str | None = CREDIT,
    colours: Sequence[str] | None = None,
    size: float = 1.5,
) -> Figure:
    """Lay photographs out in a grid.

    Args:
        images: uint8, (height, width, 3) each, RGB 0-255.
        titles: A title over each photograph (may hold line breaks), or None.
        columns: Photographs in a row.
        suptitle: Title of the whole grid, or None.
        credit: Small line under the grid, or None.
        colours: A frame colour for each photograph, such as `COLOURS[code]`, or None.
        size: Width of one photograph in inches; less where a row would be wider than a page.

    Returns:
        The figure; `jpeg(figure)` turns it into a small picture for a notebook.

    Raises:
        ValueError: If there is no photograph, or not a title and a colour for each.
    """
    _check_numbers(len(images), {"titles": titles, "colours": colours})
    columns = min(columns, len(images))
    size = min(size, PAGE / columns)
    rows = -(-len(images) // columns)
    lines = max(title.count("\n") + 1 for title in titles) if titles else 0
    height = rows * (size + 0.17 * lines) + 0.4 * bool(suptitle) + 0.3 * bool(credit)
    figure, grid = plt.subplots(
        rows, columns, figsize=(columns * size, height), squeeze=False, layout="constrained"
    )
    for ax in grid.flat:
        ax.set(xticks=[], yticks=[], visible=False)
    for number, (ax, image) in enumerate(zip(grid.flat, images, strict=False)):
        ax.set_visible(True)
        ax.imshow(image)
        if titles:
            ax.set_title(titles[number], fontsize=9, fontweight="normal", pad=3)
        for spine in ax.spines.values():
            spine.set(visible=colours is not None, linewidth=3)
            spine.set_edgecolor(colours[number] if colours else "none")
    if suptitle:
        figure.suptitle(suptitle, fontsize=12, fontweight="bold")
    if credit:
        figure.supxlabel(credit, fontsize=8, color=GREY)
    return figure


def augmentation_grid(original: np.ndarray, augmented: Sequence[np.ndarray], **options) -> Figure:
    """Show one photograph and the many that augmentation makes of it.

    Args:
        original: uint8, (height, width, 3), RGB 0-255.
        augmented: Augmented versions, same form.
        **options: Further arguments of `photo_grid`.
    """
    titles = ["original", *(f"version {number + 1}" for number in range(len(augmented)))]
    suptitle = "One training photograph as the network meets it"
    options = {"columns": 6, "suptitle": suptitle, **options}
    return photo_grid([original, *augmented], titles, **options)


def jpeg(figure: Figure, quality: int = 50, sharpness: float = 1.4):
    """Turn a figure of photographs into a JPEG, a tenth of the PNG's size, and close it.

    Args:
        figure: The figure.
        quality: JPEG quality, 1 to 95.
        sharpness: Pixels of the file for each pixel of the screen, so that captions stay sharp.

    Returns:
        `IPython.display.Image`, which a notebook shows when it ends a cell.
    """
    from IPython.display import Image

    with io.BytesIO() as buffer:
        options = {"quality": quality, "optimize": True}
        figure.savefig(buffer, format="jpeg", dpi=100 * sharpness, pil_kwargs=options)
        # Closed, so that the notebook does not show the same figure as PNG too.
        plt.close(figure)
        width = round(100 * figure.get_figwidth())
        metadata = {"alt": description(figure)}
        return Image(data=buffer.getvalue(), format="jpeg", width=width, metadata=metadata)
