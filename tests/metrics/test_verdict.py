"""The rule for better and worse, by cases worked by hand."""

import pytest

from nsbench.metrics.change import Change
from nsbench.metrics.intervals import Interval
from nsbench.metrics.verdict import judge


def difference(value: float, low: float, high: float, p_value: float, images: int = 100) -> Change:
    return Change(value, Interval(low, high), value > 0, images, p_value)


def test_better_and_worse_need_interval_and_p_value() -> None:
    clear = difference(3.0, 1.0, 5.0, 0.001)
    lower = difference(-3.0, -5.0, -1.0, 0.001)
    by_interval_only = difference(3.0, 1.0, 5.0, 0.2)
    by_p_value_only = difference(3.0, -0.5, 5.0, 0.001)
    judged = judge([clear, lower, by_interval_only, by_p_value_only])
    assert [one.verdict for one in judged] == ["better", "worse", "undecided", "undecided"]
    assert [one.change for one in judged] == [clear, lower, by_interval_only, by_p_value_only]


def test_few_images_are_never_enough() -> None:
    assert judge([difference(3.0, 1.0, 5.0, 0.0001, images=19)])[0].verdict == "undecided"
    assert judge([difference(3.0, 1.0, 5.0, 0.0001, images=20)])[0].verdict == "better"


def test_a_row_is_judged_with_all_rows_of_its_table() -> None:
    """0.03 alone is significant; beside nine rows that are not, 0.03 * 10 / 1 is not."""
    row, others = difference(1.0, 0.1, 1.9, 0.03), [difference(0.1, -1.0, 1.2, 0.9)] * 9
    assert judge([row])[0].verdict == "better"
    among = judge([row, *others])[0]
    assert among.verdict == "undecided"
    assert among.adjusted_p == pytest.approx(0.3)


def test_the_limit_itself_is_not_below_it() -> None:
    assert judge([difference(1.0, 0.1, 1.9, 0.05)])[0].verdict == "undecided"


def test_no_rows_have_no_verdicts() -> None:
    assert judge([]) == []
