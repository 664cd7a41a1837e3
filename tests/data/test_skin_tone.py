"""The angle orders skin by its lightness and looks at nothing else."""

import cv2
import numpy as np
import pytest

from lesions.data import skin_tone


def skin(lightness, yellow=18.0, red=12.0, size=64):
    """A uniform picture of one CIELAB colour."""
    lab = np.full((size, size, 3), (lightness, red, yellow), np.float32)
    return (cv2.cvtColor(lab, cv2.COLOR_LAB2RGB) * 255).round().astype(np.uint8)


@pytest.mark.parametrize("lightness", [75, 65, 50, 40])
def test_the_angle_is_the_definition(lightness):
    expected = np.degrees(np.arctan((lightness - 50) / 18))
    assert skin_tone.typology_angle(skin(lightness)) == pytest.approx(expected, abs=1.5)


def test_lesion_frame_and_reflection_do_not_count():
    plain = skin(70)
    spoilt = plain.copy()
    spoilt[20:44, 20:44] = (60, 30, 20)
    spoilt[:6] = 0
    spoilt[-4:] = 255
    expected = skin_tone.typology_angle(plain)
    assert skin_tone.typology_angle(spoilt) == pytest.approx(expected, abs=0.01)


def test_no_skin_has_no_angle():
    black = np.zeros((64, 64, 3), np.uint8)
    assert np.isnan(skin_tone.typology_angle(black))
    assert skin_tone.tone(float("nan")) == "unknown"


def test_groups_follow_the_usual_bounds():
    angles = {56: "very light", 55: "very light", 42: "light", 30: "intermediate", 12: "tan"}
    angles |= {0: "brown", -29: "brown", -60: "dark"}
    assert {angle: skin_tone.tone(angle) for angle in angles} == angles
