"""How a number with its interval is written."""

import math

import pytest

from lesions.evaluation import Interval


@pytest.mark.parametrize(
    ("interval", "how", "written"),
    [
        (Interval(0.7713, 0.7241, 0.8158), ".3f", "0.771 (0.724 to 0.816)"),
        (Interval(0.02, 0.0001, 0.04), ".3f", "0.020 (0.000 to 0.040)"),
        (Interval(0.0031, 0.0003, 0.006), "+.3f", "+0.0031 (+0.0003 to +0.0060)"),
        (Interval(-0.019, -0.049, -0.00004), "+.3f", "-0.01900 (-0.04900 to -0.00004)"),
        (Interval(-0.019, -0.049, -1e-9), "+.3f", "-0.01900 (-0.04900 to -0.00000)"),
        (Interval(0.042, 0.0, 0.078), "+.3f", "+0.042 (+0.000 to +0.078)"),
        (Interval(0.084, 0.027, 0.138), "+.3f", "+0.084 (+0.027 to +0.138)"),
    ],
)
def test_a_difference_never_reads_as_if_it_ended_at_zero(interval, how, written):
    assert f"{interval:{how}}" == written


def test_an_unknown_interval_excludes_nothing():
    assert Interval(0.2, math.nan, math.nan).zero == "includes zero"
    assert Interval(-0.2, -0.3, -0.1).zero == "excludes zero"
