"""How light the skin around a lesion is, by its individual typology angle."""

import cv2
import numpy as np

# Lower bounds in degrees: Chardon et al. 1991 and Del Bino et al. 2006, as used for
# dermatoscopic sets by Kinyanjui et al. 2019.
TONES = {
    "very light": 55.0,
    "light": 41.0,
    "intermediate": 28.0,
    "tan": 10.0,
    "brown": -30.0,
    "dark": -90.0,
}
# The lesion is taken to lie within this share of the half side.
LESION_RADIUS = 0.8
# Darker than this is the frame of the dermatoscope; brighter is its reflection.
SKIN_LIGHTNESS = (20.0, 98.0)
LEAST_SKIN = 0.02


def typology_angle(image: np.ndarray) -> float:
    """Measure the individual typology angle of the skin around a lesion.

    The angle is arctan((L* - 50) / b*), in degrees, of the median skin pixel in CIELAB. Light
    skin has a large one. Dermatoscopes are not calibrated for colour, so a single angle says
    little; groups of photographs of one source can be compared.

    Args:
        image: uint8, (size, size, 3), RGB 0-255, with the lesion in the middle.

    Returns:
        Degrees, -90 to 90; NaN where less than 2% of the picture is skin.
    """
    size = image.shape[0]
    across = (np.arange(size) + 0.5) / size * 2 - 1
    outside = np.hypot(across, across[:, None]) >= LESION_RADIUS
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    low, high = SKIN_LIGHTNESS
    skin = outside & (lab[..., 0] > low) & (lab[..., 0] < high)
    if skin.mean() < LEAST_SKIN:
        return float("nan")
    lightness, _, yellow = np.median(lab[skin], axis=0)
    # Skin is yellow; a bluish picture counts as one without hue.
    return float(np.degrees(np.arctan2(lightness - 50, max(float(yellow), 1e-3))))


def tone(angle: float) -> str:
    """Return the name in `TONES` of an angle in degrees, or "unknown" for NaN."""
    return next((name for name, lowest in TONES.items() if angle >= lowest), "unknown")
