# SPDX-License-Identifier: Apache-2.0
"""Medians, ratios within a round, and what counts as dearer."""
import stats


def test_median_of_odd_and_even():
    assert stats.median([3, 1, 2]) == 2
    assert stats.median([4, 1, 2, 3]) == 2.5


def test_spread_leaves_out_what_was_not_taken():
    assert stats.spread([None, 2, 1, None, 3]) == stats.Spread(2, 1, 3)
    assert stats.spread([None]) is None
    assert stats.spread([]) is None


def test_ratios_are_taken_round_by_round():
    # Both doubled in the second round: the ratio has not moved.
    assert stats.ratios([2, 4], [1, 2]) == [2, 2]


def test_ratios_leave_out_rounds_without_a_base():
    assert stats.ratios([2, 4, 6], [1, None, 0]) == [2]
    assert stats.ratios([2, None], [1, 1]) == [2]


def change(before, after, margin=0.04):
    (found,) = stats.changes({"x": before}, {"x": after}, margin)
    return found


def test_dearer_beyond_the_margin():
    assert change([100, 101, 102], [110, 111, 112]).dearer
    assert not change([100, 101, 102], [102, 103, 104]).dearer


def test_a_run_as_cheap_as_before_is_noise():
    # Two rhythms: the median moved, but it still runs as cheaply as it did.
    assert not change([100, 101, 130], [100, 130, 131]).dearer
    assert change([100, 101, 130], [106, 136, 137]).dearer


def test_cheaper_beyond_the_margin():
    found = change([100, 101, 102], [90, 91, 92])
    assert found.cheaper and not found.dearer
    assert not change([100, 101, 102], [98, 99, 100]).cheaper


def test_only_what_both_have_is_compared():
    found = stats.changes({"a": [1], "b": [1], "none": [None]}, {"b": [2], "c": [2], "none": [1]}, 0.04)
    assert [c.what for c in found] == ["b"]
