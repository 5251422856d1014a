import numpy as np
import pytest

from softlyte.screening.candidates import Candidates, InputSource, SpaceSource
from softlyte.screening.enumerate import plan_candidates
from softlyte.screening.inputs import check_rows, rows_from_formulas
from softlyte.screening.ranking import TopRows, rank_order
from softlyte.screening.space import load_space


def test_order_is_score_then_place_with_missing_last():
    score = np.array([0.5, np.nan, 0.9, 0.5, 0.0])
    assert rank_order(score, np.array([7, 0, 1, 3, 2])).tolist() == [2, 3, 0, 4, 1]


@pytest.mark.parametrize("piece", [1, 7, 64, 1000])
def test_kept_rows_equal_a_full_sort(piece):
    rng = np.random.default_rng(3)
    score = np.round(rng.random(1000), 2)  # many ties
    score[rng.random(1000) < 0.1] = np.nan
    everything = np.arange(1000)
    top = TopRows(40)
    for start in range(0, 1000, piece):
        rows = slice(start, start + piece)
        top.offer(score[rows], everything[rows])
    kept_score, kept = top.best()
    expected = rank_order(score, everything)[:40]
    np.testing.assert_array_equal(kept, expected)
    np.testing.assert_array_equal(kept_score, score[expected])
    left = np.delete(score, expected)
    assert top.left_behind == np.nanmax(left)
    assert top.last() == kept_score[-1]


def test_fewer_candidates_than_asked_for_and_none():
    top = TopRows(10)
    top.offer(np.array([0.1, np.nan]), np.arange(2))
    assert top.best()[1].tolist() == [0, 1]
    assert top.last() == -np.inf
    assert [len(part) for part in TopRows(3).best()] == [0, 0]
    with pytest.raises(ValueError, match="at least one"):
        TopRows(0)


def test_no_more_than_a_few_times_the_wanted_is_held():
    top, most = TopRows(10), 0
    for start in range(0, 400, 5):
        top.offer(np.linspace(0.0, 1.0, 400)[start : start + 5], np.arange(start, start + 5))
        most = max(most, sum(len(score) for score, _ in top._parts))
    assert most + 5 > 40
    assert most <= 40
    assert top.best()[1].tolist() == list(range(399, 389, -1))


def test_the_floor_is_the_last_of_a_full_set():
    top = TopRows(2)
    top.offer(np.array([0.5]), np.array([3]))
    top.best()
    assert top.floor == -np.inf
    top.offer(np.array([0.7, 0.6]), np.array([1, 2]))
    top.best()
    assert (top.floor, top.last(), top.left_behind) == (0.6, 0.6, 0.5)
    # As good as the last and earlier in place: it goes in; later: it does not.
    top.offer(np.array([0.6, 0.6]), np.array([0, 9]))
    assert top.best()[1].tolist() == [1, 0]
    assert top.left_behind == 0.6
    one = TopRows(1)
    one.offer(np.array([0.3, 0.9, 0.9]), np.arange(3))
    assert one.best()[1].tolist() == [1]
    assert (one.floor, one.last(), one.left_behind) == (0.9, 0.9, 0.9)
    short = TopRows(3)
    short.offer(np.array([0.5, 0.4, np.nan, np.nan]), np.arange(4))
    assert short.best()[1].tolist() == [0, 1, 2]
    assert short.floor == -np.inf
    missing = TopRows(2)
    missing.offer(np.array([np.nan, 0.1, np.nan]), np.arange(3))
    assert missing.best()[1].tolist() == [1, 0]
    assert (missing.floor, missing.left_behind) == (-np.inf, -np.inf)


@pytest.fixture(scope="module")
def plan():
    return plan_candidates(load_space())


def test_whole_space_is_read_in_its_order(plan):
    source = SpaceSource(plan)
    assert len(source) == len(plan)
    piece = source.rows(1000, 1300)
    assert piece.place.tolist() == list(range(1000, 1300))
    assert piece.compositions.formulas() == plan.rows(1000, 1300).compositions.formulas()


def test_a_sample_is_reproducible_spread_and_the_same_in_any_pieces(plan):
    source = SpaceSource(plan, limit=3210, seed=5)
    whole = source.rows(0, 3210)
    assert len(source) == len(whole) == 3210
    assert (np.diff(whole.place) > 0).all()
    assert whole.place[-1] > 0.9 * len(plan)
    assert whole.place[0] < 0.1 * len(plan)
    pieces = Candidates.concatenate([source.rows(s, s + 333) for s in range(0, 3210, 333)])
    np.testing.assert_array_equal(pieces.place, whole.place)
    assert pieces.compositions.formulas() == whole.compositions.formulas()
    again = SpaceSource(plan, limit=3210, seed=5).rows(0, 3210)
    np.testing.assert_array_equal(again.place, whole.place)
    assert not np.array_equal(SpaceSource(plan, limit=3210, seed=6).rows(0, 3210).place, whole.place)
    for place, formula in zip(whole.place[:5], whole.compositions.formulas()[:5], strict=True):
        assert plan.rows(int(place), int(place) + 1).compositions.formulas() == [formula]


def test_a_limit_above_the_space_takes_all(plan):
    source = SpaceSource(plan, limit=10**9)
    assert len(source) == len(plan)
    last = source.rows(len(plan) - 3, len(plan) + 100)
    assert len(last) == 3


def test_handed_in_rows_keep_their_order():
    inputs = check_rows(rows_from_formulas(["Li3YCl6", "Na3YCl6"]), np.ones(104, dtype=bool))
    source = InputSource(inputs)
    assert len(source) == 4
    assert source.rows(1, 99).compositions.formulas() == ["Li3YCl6", "Na3YCl6", "Na3YCl6"]
    assert len(InputSource(inputs, limit=3)) == 3
