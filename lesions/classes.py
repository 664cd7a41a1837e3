"""The one table of the seven HAM10000 classes: order, names, malignancy, colours."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LesionClass:
    """One diagnosis of HAM10000.

    Attributes:
        code: The `dx` value in the metadata, for example "mel".
        name: Full name, as a dermatologist writes it.
        malignant: True for cancers and for their precursors in situ (akiec).
        colour: Hex colour used in every figure (Okabe and Ito's colour-blind safe set).
        description: One sentence on what the diagnosis is and what dermatoscopy shows.
    """

    code: str
    name: str
    malignant: bool
    colour: str
    description: str


CLASSES = (
    LesionClass(
        "akiec",
        "Actinic keratosis or intraepithelial carcinoma",
        True,
        "#E69F00",
        "Actinic keratosis or Bowen's disease, mostly from sun damage, which can turn into "
        "squamous cell carcinoma: scale, a red pseudo-network (strawberry pattern), dotted or "
        "coiled vessels.",
    ),
    LesionClass(
        "bcc",
        "Basal cell carcinoma",
        True,
        "#D55E00",
        "The most common skin cancer, which grows in place and rarely spreads: arborising "
        "vessels, blue-grey ovoid nests, leaf-like areas, ulceration.",
    ),
    LesionClass(
        "bkl",
        "Benign keratosis-like lesion",
        False,
        "#009E73",
        "Seborrhoeic keratosis, solar lentigo or lichen planus-like keratosis: milia-like "
        "cysts, comedo-like openings, a sharp border; a frequent mimic of melanoma.",
    ),
    LesionClass(
        "df",
        "Dermatofibroma",
        False,
        "#CC79A7",
        "A harmless firm nodule of the dermis: a central white patch in a delicate "
        "peripheral pigment network.",
    ),
    LesionClass(
        "mel",
        "Melanoma",
        True,
        "#000000",
        "Cancer of the pigment cells, which causes most deaths from skin cancer: asymmetry, an "
        "irregular network, blue-white veil, irregular globules, streaks and regression.",
    ),
    LesionClass(
        "nv",
        "Melanocytic nevus",
        False,
        "#56B4E9",
        "The ordinary mole: symmetric, one or two colours, a regular network or globules.",
    ),
    LesionClass(
        "vasc",
        "Vascular lesion",
        False,
        "#0072B2",
        "Angioma, angiokeratoma, pyogenic granuloma or haemorrhage: red to blue-black "
        "lacunae or areas without structure, and no pigment network.",
    ),
)

CODES = tuple(lesion_class.code for lesion_class in CLASSES)
BY_CODE = {lesion_class.code: lesion_class for lesion_class in CLASSES}
NAMES = {lesion_class.code: lesion_class.name for lesion_class in CLASSES}
COLOURS = {lesion_class.code: lesion_class.colour for lesion_class in CLASSES}
MALIGNANT = tuple(lesion_class.code for lesion_class in CLASSES if lesion_class.malignant)

NOTICE = "For research and education. Not for clinical use."
CREDIT = "Images: HAM10000 (Tschandl et al. 2018, CC BY-NC 4.0)"


def in_a_sentence(name: str) -> str:
    """Write a name with a small first letter."""
    return name[:1].lower() + name[1:]
