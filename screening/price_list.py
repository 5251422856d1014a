"""The prices that a person chooses: date, own quotations, precursors left out, low or high market.

A `PriceList` holds the rows that a person reads; `table()` gives the arrays that costs are computed with.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pymatgen.core import Composition

from softlyte.datasets.formulas import Compositions, FormulaError
from softlyte.datasets.tables import load_table
from softlyte.screening.commodities import (
    REFERENCE_YEAR,
    SPAN_START,
    decimal_year,
    price_rows,
    volatility,
)
from softlyte.screening.exchange import per_usd
from softlyte.screening.precursor_policy import ANIONS
from softlyte.screening.price_model import build_hydrates, build_precursors
from softlyte.screening.prices import PriceError, PriceTable

PriceLevel = Literal["low", "central", "high"]
"""Where in its interval every price is taken."""

OWN_COLUMNS = ("formula", "price_per_kg")
"""Columns that a file of own prices needs."""

OWN_OPTIONAL = ("low_per_kg", "high_per_kg", "currency", "date", "grade", "source", "basis", "inferred_from")
"""Columns that it may have besides; any other is refused."""


@dataclass(frozen=True)
class PriceList:
    """Precursor prices with their provenance.

    Attributes:
        binary: rows like the table `precursors`, plus inferred_from.
        hydrates: rows like the table `precursors_hydrate`, plus inferred_from.
        year: decimal year of the shipped prices in it.
        own: name of the own quotations in it, "" if there are none.
        excluded: formulas of the precursors that a person barred.
    """

    binary: pd.DataFrame
    hydrates: pd.DataFrame
    year: float = REFERENCE_YEAR
    own: str = ""
    excluded: tuple[str, ...] = ()

    def table(self, level: PriceLevel = "central") -> PriceTable:
        """Return the prices as arrays; `low` and `high` take that end of every interval at once."""
        if level == "central":
            return PriceTable.from_frame(self.binary, self.hydrates)
        columns = ("low_usd_kg", "price_usd_kg", "high_usd_kg")

        def moved(frame: pd.DataFrame) -> pd.DataFrame:
            return frame.assign(**dict.fromkeys(columns, frame[f"{level}_usd_kg"]))

        return PriceTable.from_frame(moved(self.binary), moved(self.hydrates))

    @cached_property
    def _rows(self) -> dict[str, dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for frame in (self.binary, self.hydrates):
            rows += [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]
        return {str(row["formula"]): row for row in rows}

    def row(self, formula: str) -> dict[str, Any]:
        """Return the price row of a precursor by its formula; raises PriceError if it is not listed."""
        if formula not in self._rows:
            raise PriceError(f"no price of {formula} is listed; give one in a file of own prices")
        return self._rows[formula]

    def checksum(self) -> str:
        """Return the SHA-256 of every row, which tells any two lists apart."""
        digest = hashlib.sha256()
        for frame in (self.binary, self.hydrates):
            digest.update(frame.to_csv(index=False).encode())
        return digest.hexdigest()

    def without(self, formulas: Sequence[str]) -> PriceList:
        """Return the list without some precursors; raises PriceError naming one that is not in it."""
        if isinstance(formulas, str):
            raise PriceError(f"one string {formulas!r} was given where a list belongs; write [{formulas!r}]")
        left = self
        for formula in formulas:
            name = left._listed(formula)
            if name is None:
                raise PriceError(f"{formula!r} is not among the priced precursors; leave it out of the list")
            left = replace(left._dropped(name), excluded=(*left.excluded, name))
        return left

    def only(self, formulas: Sequence[str]) -> PriceList:
        """Return the list of these precursors alone; raises PriceError naming one that is not in it."""
        names = []
        for formula in formulas:
            name = self._listed(formula)
            if name is None:
                raise PriceError(
                    f"{formula!r} is not among the priced precursors; give its price in a file of own prices"
                )
            names.append(name)
        kept = self.binary["formula"].isin(names), self.hydrates["formula"].isin(names)
        barred = [*self.binary["formula"][~kept[0]], *self.hydrates["formula"][~kept[1]]]
        return replace(
            self, binary=self.binary[kept[0]], hydrates=self.hydrates[kept[1]], excluded=tuple(barred)
        )

    def _dropped(self, name: str) -> PriceList:
        """Return the list without the rows of one precursor, written as the list writes it."""
        return replace(
            self,
            binary=self.binary[self.binary["formula"] != name],
            hydrates=self.hydrates[self.hydrates["formula"] != name],
        )

    def with_rows(self, own: pd.DataFrame, source: str = "own prices") -> PriceList:
        """Return the list with own quotations in place of, or beside, its rows.

        Args:
            own: OWN_COLUMNS and any of OWN_OPTIONAL. A binary fluoride, chloride, bromide, iodide, oxide or
                sulfide joins the anhydrous precursors; anything with H or C those of the hydrate route.
                Prices without low and high get half the typical five-year swing of a commodity each way.
                `basis` is "user" if empty, or "inferred" with the electrolyte in `inferred_from`.
            source: what messages call the rows.

        Raises PriceError naming the first row that cannot be used, or that prices a compound again.
        """
        _check_columns(own, source)
        swing = float(np.exp(volatility(price_rows())))
        left, priced = self, dict[str, int]()
        for number, (_, given) in enumerate(own.iterrows(), start=2):
            place = f"{source}, row {number}"
            row = _own_row(given, place, swing, self.year)
            name = left._listed(str(row["formula"]))
            if name is not None:
                row["formula"] = name
                left = left._dropped(name)
            earlier = priced.setdefault(str(row["formula"]), number)
            if earlier != number:
                raise PriceError(
                    f"{place}: {row['formula']} has a price in row {earlier} already; keep one of them, "
                    "its low_per_kg and high_per_kg may span both"
                )
            if "valence" in row:
                left = replace(left, binary=pd.concat([left.binary, pd.DataFrame([row])], ignore_index=True))
            else:
                rows = pd.concat([left.hydrates, pd.DataFrame([row])], ignore_index=True)
                left = replace(left, hydrates=rows)
        return replace(left, own=source)

    def _listed(self, formula: str) -> str | None:
        """Return how the list writes a precursor, None if it has none of this composition."""
        try:
            key = Compositions.from_formulas([formula]).keys()[0]
        except FormulaError as error:
            raise PriceError(str(error)) from error
        names = [*self.binary["formula"], *self.hydrates["formula"]]
        same = np.flatnonzero(Compositions.from_formulas(names).keys() == key)
        return names[same[0]] if len(same) else None


def load_prices(
    own: Path | str | pd.DataFrame | None = None, date: str | None = None, without: Sequence[str] = ()
) -> PriceList:
    """Return the prices to compute with.

    Args:
        own: CSV or frame of own quotations, see `PriceList.with_rows`.
        date: "2023" (annual averages) or "2023-11", from 2020 to a year after the last cited price; None for
            the shipped prices of mid-2024.
        without: formulas of precursors that may not be used.

    Raises PriceError if the file, a row, the date or a formula cannot be used.
    """
    if date is None:
        chosen = PriceList(_plain(load_table("precursors")), _plain(load_table("precursors_hydrate")))
    else:
        year = read_date(date)
        rows = price_rows()
        last = float(rows["year"].max())
        if not SPAN_START <= year <= last + 1:
            raise PriceError(
                f"prices are cited from {SPAN_START:.0f} to {int(last)}, none near {date}; "
                "choose one of these years"
            )
        chosen = PriceList(
            _plain(build_precursors(rows, year).frame), _plain(build_hydrates(rows, year).frame), year
        )
    if own is not None:
        if isinstance(own, pd.DataFrame):
            chosen = chosen.with_rows(own)
        else:
            chosen = chosen.with_rows(_read(Path(own)), Path(own).name)
    return chosen.without(without)


def read_date(text: str) -> float:
    """Return "2023" as 2023.5 and "2023-11" as the middle of that month; raises PriceError for other text."""
    text = str(text).strip()  # a notebook may give the year as a number
    year, _, month = text.partition("-")
    written = re.fullmatch(r"[0-9]{4}", year) is not None and 1990 <= int(year) <= 2100
    if not written or ("-" in text and month not in _MONTHS):
        raise PriceError(f"the date {text!r} is not understood; write a year such as 2023 or 2023-11")
    return decimal_year(text)


_MONTHS = tuple(f"{month:02d}" for month in range(1, 13))


def binary_parts(formula: str) -> tuple[str, int, str] | None:
    """Return cation, valence and anion of a binary precursor, None if the formula is no such compound."""
    composition = Composition(formula)
    anions = [e.symbol for e in composition.elements if e.symbol in ANIONS]
    cations = [e.symbol for e in composition.elements if e.symbol not in ANIONS]
    if len(anions) != 1 or len(cations) != 1:
        return None
    valence = composition[anions[0]] * ANIONS[anions[0]] / composition[cations[0]]
    whole = round(valence)
    return (cations[0], whole, anions[0]) if abs(valence - whole) < 1e-6 and 1 <= whole <= 6 else None


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(inferred_from="")


def _read(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
    except FileNotFoundError:
        raise PriceError(f"there is no price file {path}; check the name") from None
    except (OSError, ValueError) as error:
        raise PriceError(f"the price file {path} cannot be read as CSV ({error}); save it as CSV") from error
    # pandas takes cells beyond the header for an index in front.
    if len(frame) and not isinstance(frame.index, pd.RangeIndex):
        raise PriceError(
            f"the rows of {path} have more cells than its header; put text that holds commas in quotes"
        )
    return frame


def _check_columns(own: pd.DataFrame, source: str) -> None:
    missing = [name for name in OWN_COLUMNS if name not in own.columns]
    unknown = [name for name in own.columns if name not in OWN_COLUMNS + OWN_OPTIONAL]
    if missing or unknown:
        what = f"lacks the column {missing[0]!r}" if missing else f"has an unknown column {unknown[0]!r}"
        if len(own.columns) == 1 and re.search("[;\t]", str(own.columns[0])):
            what += " (its columns seem to be separated by semicolons or tabs: save it with commas)"
        raise PriceError(f"{source} {what}; use {', '.join(OWN_COLUMNS)} and, if wanted, {_OPTIONAL_TEXT}")
    if not len(own):
        raise PriceError(f"{source} holds no prices; add a row such as ZrCl4,30 or leave it out")


_OPTIONAL_TEXT = ", ".join(OWN_OPTIONAL)


def _own_row(given: pd.Series, place: str, swing: float, own_year: float) -> dict[str, object]:
    """Return one own quotation as a row of the price list."""

    def cell(name: str) -> str:
        value = given.get(name, "")
        return "" if value is None or value != value else str(value).strip()

    def number(name: str) -> float | None:
        if not cell(name):
            return None
        try:
            return float(cell(name))
        except ValueError:
            raise PriceError(f"{place}: {name} is {cell(name)!r}; write a number such as 12.5") from None

    formula, price = cell("formula"), number("price_per_kg")
    if not formula or price is None or not 0 < price < np.inf:
        raise PriceError(
            f"{place}: {formula or 'a row'} has the price {cell('price_per_kg')!r}; "
            "give a formula and a price above 0"
        )
    try:
        Compositions.from_formulas([formula])
    except FormulaError as error:
        raise PriceError(f"{place}: {error}") from error
    try:
        year = read_date(cell("date")) if cell("date") else own_year
    except PriceError as error:
        raise PriceError(f"{place}: {error}") from None
    basis = cell("basis") or "user"
    if basis not in ("user", "cited", "inferred") or (basis == "inferred") != bool(cell("inferred_from")):
        raise PriceError(
            f"{place}: the basis is {basis!r}, inferred from {cell('inferred_from')!r}; write user, cited, "
            "or inferred together with the electrolyte in inferred_from"
        )
    rate = per_usd(cell("currency") or "USD", year, place)
    low, high = number("low_per_kg"), number("high_per_kg")
    if not (low is None or 0 < low <= price) or not (high is None or price <= high < np.inf):
        raise PriceError(
            f"{place}: {formula} has low, central and high prices {cell('low_per_kg') or 'none'}, "
            f"{cell('price_per_kg')}, {cell('high_per_kg') or 'none'}; give low <= price <= high, all above 0"
        )
    row: dict[str, object] = {
        "formula": formula,
        "price_usd_kg": price / rate,
        "low_usd_kg": (price / swing if low is None else low) / rate,
        "high_usd_kg": (price * swing if high is None else high) / rate,
        "year": year,
        "grade": cell("grade"),
        "basis": basis,
        "made_from": formula,
        "source_title": cell("source") or "own quotation",
        "source_address": "",
        "note": "",
        "inferred_from": cell("inferred_from"),
    }
    parts = binary_parts(formula)
    if parts is not None:
        return row | dict(zip(("cation", "valence", "anion"), parts, strict=True))
    elements = [e.symbol for e in Composition(formula).elements]
    metals = [symbol for symbol in elements if symbol not in (*ANIONS, "H", "C")]
    if len(metals) != 1 or not {"H", "C"} & set(elements):
        raise PriceError(
            f"{place}: {formula} is no precursor that can be used; give a binary fluoride, chloride, "
            "bromide, iodide, oxide or sulfide, or a hydrate, hydroxide or carbonate of one metal"
        )
    return row | {"cation": metals[0], "name": formula}
