"""Figures as text."""

import numpy as np

from nsbench.metrics.change import Change, Metric
from nsbench.metrics.intervals import Interval
from nsbench.reporting.score_tables import change_text, metric_text


def test_what_rounds_to_zero_has_no_minus() -> None:
    change = Change(-0.04, Interval(-0.06, 0.049), better=False, images=100, p_value=1.0)
    assert change_text(change) == "+0.0 [-0.1, +0.0]"
    same = Change(0.0, Interval(-0.0, -0.0), better=False, images=100, p_value=1.0)
    assert change_text(same) == "+0.0 [+0.0, +0.0]"
    assert change_text(None) == ""
    metric = Metric("m", ("a", "b"), np.array([-0.03, -0.04]), False)
    assert metric_text(metric) == "0.0 [0.0, 0.0]"
