"""Add a laboratory's measurements: checked, compared with what is known, kept as a version."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

import softlyte
from softlyte.datasets.formulas import Compositions
from softlyte.datasets.own.comparison import Comparison, compare
from softlyte.datasets.own.measurements import Measurements, read_measurements
from softlyte.datasets.own.store import (
    StoreError,
    Version,
    add_version,
    check_place,
    default_folder,
    load_own,
    versions,
)
from softlyte.featurize.charge import charge_imbalance, is_charge_balanced


@dataclass(frozen=True)
class Added:
    """What came of a file of measurements.

    Attributes:
        folder: of the measurements.
        version: that was written; None for a dry run, or if every row was there already.
        measurements: the file as it was understood.
        comparison: its rows beside what is known.
        cautions: row number and sentence for what is odd, but no mistake.
    """

    folder: Path
    version: Version | None
    measurements: Measurements
    comparison: Comparison
    cautions: tuple[tuple[int, str], ...]

    @property
    def new(self) -> pd.DataFrame:
        """The rows that are no repetition of rows that are there."""
        frame = self.measurements.frame
        return frame[~frame.index.isin(list(self.comparison.repeated))]


def add_measurements(
    file: Path | str, to: Path | str | None = None, source: str = "", dry_run: bool = False
) -> Added:
    """Check a CSV file of measurements and add it to a folder as a new version.

    A file with a mistake adds nothing. Rows that the folder holds already (same material, conditions, values
    and source) are not added twice; contradictions are reported and kept: which value is right is not ours to
    say.

    Args:
        file: CSV with a header, see docs/own-data.md.
        to: folder of the measurements; None for `softlyte.datasets.own.store.default_folder`.
        source: of rows that state none.
        dry_run: write nothing.

    Raises:
        UserError: the file or the folder cannot be used; a line for each mistake.
    """
    folder = default_folder() if to is None else Path(to).expanduser()
    measurements = read_measurements(file, source)
    there = versions(folder)
    for version in there:
        if version.file_sha256 == measurements.sha256:
            raise StoreError(
                f"{measurements.file} was added as version {version.number} on {version.added}; nothing to do"
            )
    comparison = compare(measurements.frame, load_own(folder) if there else None)
    added = Added(folder, None, measurements, comparison, _cautions(measurements.frame))
    if dry_run:
        return added
    if not len(added.new):
        check_place(folder)
        return added
    version = add_version(folder, added.new, measurements, softlyte.__version__)
    return Added(folder, version, measurements, comparison, added.cautions)


def _cautions(frame: pd.DataFrame) -> tuple[tuple[int, str], ...]:
    """Return sentences about formulas that are probably slips: no mobile ion, charges that do not balance."""
    compositions = Compositions.from_formulas(frame["formula"])
    out = []
    mobile = compositions.amount_of("Li") + compositions.amount_of("Na") > 0
    balanced = is_charge_balanced(compositions)
    for place, row in enumerate(frame.index):
        formula = frame["formula"].iloc[place]
        if not mobile[place]:
            out.append((int(row), f"{formula} holds neither Li nor Na; no candidate is like it"))
        elif not balanced[place]:
            left = charge_imbalance(compositions[place : place + 1])[0]
            shown = "" if left != left else f", {left:+.3g} is left"
            out.append(
                (int(row), f"{formula} is not charge balanced with common oxidation states{shown}; check it")
            )
    return tuple(out)
