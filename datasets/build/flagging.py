"""Flags: reasons why a row or a value should not be trained on, kept beside it.

An entry `code` speaks of the whole row; `column:code=value` of one value that was taken out.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray


class Flags:
    """Collects flag entries of N rows; `text()` joins them with semicolons in the order they came."""

    def __init__(self, rows: int) -> None:
        self._text = np.full(rows, "", dtype=object)

    def add(self, mask: NDArray[np.bool_] | pd.Series, entry: str) -> None:
        """Add one entry to every row of the mask, [N]."""
        rows = np.flatnonzero(np.asarray(mask, dtype=bool))
        self.add_each(rows, np.full(len(rows), entry, dtype=object))

    def add_each(self, rows: NDArray[np.int64], entries: NDArray[np.object_]) -> None:
        """Add entries[i] to row rows[i]."""
        for row, entry in zip(rows, entries, strict=True):
            self._text[row] = f"{self._text[row]};{entry}" if self._text[row] else entry

    def take_out(
        self,
        mask: NDArray[np.bool_] | pd.Series,
        column: str,
        code: str,
        values: NDArray[np.float64],
        decimals: int,
    ) -> None:
        """Note `column:code=value` in the rows of the mask, [N], whose value the caller empties."""
        rows = np.flatnonzero(np.asarray(mask, dtype=bool) & np.isfinite(values))
        entries = np.array([f"{column}:{code}={values[row]:.{decimals}f}" for row in rows], dtype=object)
        self.add_each(rows, entries)

    def text(self) -> NDArray[np.object_]:
        """Return the flag column, [N] strings, "" where there is nothing to say."""
        return self._text.copy()


def contradicting(groups: pd.Series, values: pd.Series, spread: float, deviation: float) -> NDArray[np.bool_]:
    """Mark values that contradict others of their group, [N].

    A value is marked if its group's highest minus lowest value exceeds spread and the value itself lies
    further than deviation from the group's median. With deviation = spread / 2 both of a contradicting
    pair are marked and only the odd one out of a larger group.
    """
    by_group = values.groupby(groups)
    wide = by_group.transform("max") - by_group.transform("min") > spread
    return (wide & ((values - by_group.transform("median")).abs() > deviation)).to_numpy(dtype=bool)
