"""What a column of the vocabulary is, and the level of every interval."""

from __future__ import annotations

from dataclasses import dataclass

INTERVAL_LEVEL = 0.90
"""Level of every `_lower`/`_upper` pair that Softlyte writes."""


@dataclass(frozen=True)
class Column:
    """One column of the vocabulary.

    Attributes:
        name: column name in files and DataFrames.
        label: what a plot's axis says.
        unit: unit in plain text, empty if the quantity has none.
        meaning: one sentence.
        predicted: True if the value comes with `_lower` and `_upper`.
    """

    name: str
    label: str
    unit: str
    meaning: str
    predicted: bool = False
