"""Exact amounts: grids of rational numbers, and the whole-number formulas that they give.

Amounts are fractions from the file to the formula, so that 0.05 steps and thirds stay exact and equal
compositions compare equal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

MAX_GRID_ROWS = 20_000_000
"""Largest grid of amounts that is laid out at once for one family and choice of charges."""

MAX_DENOMINATOR = 10_000
"""Steps finer than this cannot be written in a formula of four decimals."""

LARGEST_AMOUNT = 10_000
"""Larger amounts are no formula."""

_LARGEST_WHOLE = 2**40
"""Whole-number amounts below this can be multiplied with charges and added up in 64 bits."""

_EXAMPLE = 'write 3, "1/3", [1, 2, 3], {from = 0.1, to = 0.9, step = 0.1} or "balance"'


class GridError(ValueError):
    """A grid of amounts that is too large to lay out; the message says how large."""


@dataclass(frozen=True)
class Amounts:
    """Amounts that one slot may take: `values` ascending and positive, or None for "balance"."""

    values: tuple[Fraction, ...] | None

    @property
    def balances(self) -> bool:
        """True if the amount follows from the others by charge balance."""
        return self.values is None


@dataclass(frozen=True)
class Total:
    """A condition: the amounts of the columns `of` add up to one of `values`."""

    of: tuple[int, ...]
    values: tuple[Fraction, ...]


def parse_amounts(value: object) -> Amounts:
    """Read amounts from a space file; raises ValueError with problem and remedy."""
    if value == "balance":
        return Amounts(None)
    if isinstance(value, list):
        numbers = [_fraction(item) for item in value]
    elif isinstance(value, dict):
        numbers = _range(value)
    else:
        numbers = [_fraction(value)]
    if not numbers:
        raise ValueError(f"no amount is given; {_EXAMPLE}")
    if max(numbers) > LARGEST_AMOUNT:
        raise ValueError(f"an amount is above {LARGEST_AMOUNT:,}; write the reduced formula")
    if min(numbers) <= 0:
        raise ValueError("an amount is not above zero; leave the slot out of the family instead")
    if max(number.denominator for number in numbers) > MAX_DENOMINATOR:
        raise ValueError(f"an amount is finer than 1/{MAX_DENOMINATOR}; use a coarser step")
    return Amounts(tuple(sorted(set(numbers))))


def _fraction(value: object) -> Fraction:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal, str)):
        raise ValueError(f"{value!r} is not an amount; {_EXAMPLE}")
    try:
        # str() of a float is the shortest decimal that a person would have typed.
        return Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"{value!r} is not an amount; {_EXAMPLE}") from None


def _range(value: dict) -> list[Fraction]:
    unknown = set(value) - {"from", "to", "step"}
    if unknown or not {"from", "to"} <= set(value):
        raise ValueError(f"a range has the keys from, to and step; {_EXAMPLE}")
    start, stop = _fraction(value["from"]), _fraction(value["to"])
    step = _fraction(value.get("step", 1))
    if step <= 0 or stop < start:
        raise ValueError("the range is empty; let `to` be at least `from` and `step` be above zero")
    steps = (stop - start) // step
    if steps > 100_000:
        raise ValueError("the range has more than 100,000 steps; use a coarser step")
    return [start + step * k for k in range(int(steps) + 1)]


def lay_grid(
    columns: Sequence[Sequence[Fraction]], totals: Sequence[Total] = ()
) -> tuple[NDArray[np.int64], int]:
    """Return every combination of the columns' amounts that meets the totals, and their common scale.

    Args:
        columns: K lists of amounts.
        totals: conditions on the columns, by position.

    Returns:
        [G, K] int64 amounts multiplied by the scale, first column slowest; the scale.

    Raises:
        GridError: if more than MAX_GRID_ROWS combinations would be laid out, or the common scale is too fine.
    """
    fractions = [f for column in columns for f in column] + [f for t in totals for f in t.values]
    scale = math.lcm(*(f.denominator for f in fractions), 1)
    if scale * max(fractions, default=Fraction(1)) > _LARGEST_WHOLE:
        raise GridError(f"amounts with the common denominator {scale:,}")
    whole = [np.array([int(f * scale) for f in column], dtype=np.int64) for column in columns]
    grid = np.zeros((1, 0), dtype=np.int64)
    for position, values in enumerate(whole):
        if len(grid) * len(values) > MAX_GRID_ROWS:
            raise GridError(f"more than {MAX_GRID_ROWS:,} combinations of amounts")
        grid = np.column_stack([np.repeat(grid, len(values), axis=0), np.tile(values, len(grid))])
        for total in totals:
            grid = grid[_can_reach(grid, total, position, whole, scale)]
    return grid, scale


def _can_reach(
    grid: NDArray[np.int64],
    total: Total,
    position: int,
    columns: Sequence[NDArray[np.int64]],
    scale: int,
) -> NDArray[np.bool_]:
    """Return which partial rows (columns 0 to `position`) can still meet a total.

    A row is given up as soon as what it holds is too much or what may come is too little, which keeps the
    grids of mixtures with many end members small. Once the last column is there the sum must fit exactly.
    """
    there = [column for column in total.of if column <= position]
    missing = [column for column in total.of if column > position]
    allowed = np.array([int(f * scale) for f in total.values], dtype=np.int64)
    held = grid[:, there].sum(axis=1)
    if not missing:
        return np.isin(held, allowed)
    least = sum(int(columns[column].min()) for column in missing)
    most = sum(int(columns[column].max()) for column in missing)
    keep: NDArray[np.bool_] = (held + least <= allowed.max()) & (held + most >= allowed.min())
    return keep


def reduce_rows(amounts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each row divided by its greatest common divisor, [T, S]."""
    divisor = np.gcd.reduce(amounts, axis=1) if len(amounts) else np.ones(0, dtype=np.int64)
    return amounts // np.maximum(divisor, 1)[:, None]


def distinct_rows(amounts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the distinct reduced rows in ascending order, [T, S]."""
    return np.unique(reduce_rows(amounts), axis=0)


def balanced_templates(
    amounts: Sequence[Amounts], charges: Sequence[int], totals: Sequence[Total] = ()
) -> NDArray[np.int64]:
    """Return the distinct charge-neutral whole-number formulas of one family, [T, S].

    Args:
        amounts: S slots, at most one of them balancing.
        charges: S oxidation states.
        totals: conditions by slot; none of them on the balancing slot.

    Returns:
        Reduced amounts of each slot, all positive, ascending order.

    Raises:
        GridError: if the grid of amounts is too large.
    """
    fixed = [slot for slot, amount in enumerate(amounts) if not amount.balances]
    place = {slot: position for position, slot in enumerate(fixed)}
    grid, _ = lay_grid(
        [amounts[slot].values or () for slot in fixed],
        [Total(tuple(place[slot] for slot in total.of), total.values) for total in totals],
    )
    q = np.array(charges, dtype=np.int64)
    full = np.zeros((len(grid), len(amounts)), dtype=np.int64)
    full[:, fixed] = grid
    surplus = full @ q
    free = [slot for slot, amount in enumerate(amounts) if amount.balances]
    if not free:
        return distinct_rows(full[surplus == 0])
    # Multiplying every amount by the balancing charge keeps the balancing amount whole.
    full *= abs(int(q[free[0]]))
    full[:, free[0]] = -surplus * int(np.sign(q[free[0]]))
    return distinct_rows(full[full[:, free[0]] > 0])
