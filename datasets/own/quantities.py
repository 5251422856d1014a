"""What a laboratory may measure: quantities, their column headers, and units converted by pint.

A header names a quantity and its unit, `conductivity (mS/cm)` or `youngs_modulus [MPa]`, or is a column of
the vocabulary, `youngs_modulus_gpa`, which carries its unit in its name.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from softlyte.datasets.errors import UserError

SD = "_sd"
"""Ending of the column that holds one standard deviation of the column before it, in the same unit."""

_WITH_UNIT = re.compile(r"^(?P<name>[^\[(]*?)\s*[\[(](?P<unit>.*)[\])]\s*$")
_UNCERTAINTY = re.compile(r"^(?P<name>.+?)_(?:uncertainty|sd|std|error|standard_deviation)$")
_REFERENCE = re.compile(r"\s*(?:vs\.?|against|versus)\s*(?P<electrode>\S+)\s*$", re.IGNORECASE)
_ELECTRODES = frozenset({"li/li+", "li+/li", "na/na+", "na+/na"})
_CELSIUS = frozenset({"c", "°c", "degc", "celsius", "deg c"})
_RELATIVE = frozenset({"%", "percent", "relative"})
_DECADES = frozenset({"decades", "decade", "dex", "log10"})


class HeaderError(UserError):
    """A column header that names no unit, a wrong one, or nearly a known quantity; the message says which."""


@dataclass(frozen=True)
class Quantity:
    """One measurable property.

    Attributes:
        column: where it is kept; the unit stands in the name and in the vocabulary.
        words: headers that mean it, lower case with underscores.
        unit: what pint converts to; that of `column`, or of the number whose logarithm it is.
        shown: units as a person writes them, for messages.
        low, high: plausible range in `unit`: what lies outside is taken for a mistake.
        logarithmic: True if `column` is the decadic logarithm, and its uncertainty is in decades.
    """

    column: str
    words: tuple[str, ...]
    unit: str
    shown: str
    low: float
    high: float
    logarithmic: bool = False


QUANTITIES: tuple[Quantity, ...] = (
    Quantity(
        "log10_sigma_s_cm",
        ("conductivity", "ionic_conductivity", "sigma"),
        "S/cm",
        "S/cm or mS/cm",
        1e-16,
        0.1,
        logarithmic=True,
    ),
    Quantity(
        "youngs_modulus_gpa",
        ("youngs_modulus", "young's_modulus", "elastic_modulus", "modulus"),
        "GPa",
        "GPa or MPa",
        1e-4,
        1000.0,
    ),
    Quantity("bulk_modulus_gpa", ("bulk_modulus",), "GPa", "GPa or MPa", 1e-4, 1000.0),
    Quantity("shear_modulus_gpa", ("shear_modulus",), "GPa", "GPa or MPa", 1e-4, 1000.0),
    Quantity("hardness_gpa", ("hardness", "vickers_hardness"), "GPa", "GPa or MPa", 1e-4, 100.0),
    Quantity("oxidation_v", ("oxidation_limit", "oxidation"), "V", "V", 0.0, 8.0),
    Quantity("reduction_v", ("reduction_limit", "reduction"), "V", "V", 0.0, 8.0),
    Quantity("stack_pressure_mpa", ("stack_pressure", "pressure"), "MPa", "MPa or kPa", 1e-3, 2000.0),
    Quantity("glass_transition_k", ("glass_transition", "tg"), "K", "K or C", 100.0, 1500.0),
    Quantity("density_g_cm3", ("density",), "g/cm**3", "g/cm3", 0.3, 12.0),
)
"""What may be added; the bounds are wider than any solid electrolyte's and catch slips of the unit."""

TEMPERATURE = Quantity("temperature_c", ("temperature", "t"), "degC", "C or K", -200.0, 700.0)

BY_COLUMN = {quantity.column: quantity for quantity in QUANTITIES}
TEXTS = {
    "formula": ("formula", "composition"),
    "phase": ("phase",),
    "sample": ("sample", "sample_id", "id"),
    "source": ("source", "reference", "notebook"),
    "measured_on": ("measured_on", "date"),
    "synthesis": ("synthesis", "synthesis_notes", "preparation"),
    "pressing": ("pressing", "pressing_notes", "pelletising"),
    "note": ("note", "notes", "comment", "remarks"),
}
"""Columns of text and the headers that mean them."""


@dataclass(frozen=True)
class Header:
    """What a column of a file holds.

    Attributes:
        text: the header as written.
        column: where its cells go; "" for a column that is kept as a remark.
        kind: text | value | uncertainty | remark.
        unit: of the cells, "" if it stands in the column's name.
        logarithm: True if the cells are decadic logarithms.
    """

    text: str
    column: str
    kind: Literal["text", "value", "uncertainty", "remark"]
    unit: str = ""
    logarithm: bool = False


def understand(text: str) -> Header:
    """Return what a header means.

    A header that means nothing known is a remark, unless it is so near to a known one that it must be a slip.

    Raises:
        HeaderError: a quantity without a unit or with one of another dimension, or a slip of the pen.
    """
    found = _WITH_UNIT.match(text.strip())
    name = _plain(found["name"] if found else text)
    unit = found["unit"].strip() if found else ""
    logarithm = name.startswith(("log10_", "log_"))
    spread = _UNCERTAINTY.match(name)
    bare = spread["name"] if spread else name
    quantity, in_name = _quantity(bare.removeprefix("log10_").removeprefix("log_"), bare)
    if quantity is not None:
        if not unit and not in_name:
            raise HeaderError(
                f"the column {text!r} names no unit; write it as {text.strip()} ({quantity.shown.split()[0]})"
            )
        column = quantity.column + (SD if spread else "")
        stated = unit or in_name
        _check_unit(text, stated, quantity, bool(spread))
        return Header(text, column, "uncertainty" if spread else "value", stated, logarithm)
    for column, words in TEXTS.items():
        if name in words:
            return Header(text, column, "text")
    near = difflib.get_close_matches(bare, _all_words(), n=1, cutoff=0.86)
    if near:
        raise HeaderError(f"the column {text!r} is not known; did you mean {near[0]!r}?")
    return Header(text, "", "remark")


def in_own_unit(values: NDArray[np.float64], header: Header) -> NDArray[np.float64]:
    """Return the cells of a value column in its quantity's unit, logarithms undone, [N]."""
    quantity = _of(header)
    linear = 10.0**values if header.logarithm else values
    if not header.unit or header.unit == quantity.unit:
        return linear
    return np.asarray(_registry().Quantity(linear, _unit(header.unit, quantity)).to(quantity.unit).magnitude)


def deviation(
    spread: NDArray[np.float64], values: NDArray[np.float64], header: Header
) -> NDArray[np.float64]:
    """Return one standard deviation in the unit of the kept column, [N].

    Args:
        spread: cells of an uncertainty column.
        values: [N] the values that they belong to, in the quantity's unit (`in_own_unit`).
        header: of the uncertainty column.

    That of a logarithmic quantity is in decades: d log10 x = dx / (x ln 10).
    """
    quantity = _of(header)
    unit = header.unit.casefold()
    if header.logarithm or unit in _DECADES:
        decades = spread
        return decades if quantity.logarithmic else values * np.log(10.0) * decades
    if unit in _RELATIVE:
        linear = np.abs(values) * spread / (100.0 if unit != "relative" else 1.0)
    elif quantity.unit in ("K", "degC"):
        linear = spread  # a difference of temperatures is the same in K and C
    else:
        stated = _unit(header.unit, quantity)
        linear = np.asarray(_registry().Quantity(spread, stated).to(quantity.unit).magnitude)
    return linear / (values * np.log(10.0)) if quantity.logarithmic else linear


def shown_headers() -> str:
    """Return the known quantities with an example unit each, for messages."""
    return ", ".join(f"{q.words[0]} ({q.shown.split()[0]})" for q in QUANTITIES)


def _of(header: Header) -> Quantity:
    column = header.column.removesuffix(SD)
    return TEMPERATURE if column == TEMPERATURE.column else BY_COLUMN[column]


def _plain(text: str) -> str:
    return re.sub(r"[\s\-]+", "_", text.strip().casefold().replace("’", "'"))


def _quantity(word: str, whole: str) -> tuple[Quantity | None, str]:
    """Return the quantity that a word means, and its unit where the word carries it."""
    for quantity in (*QUANTITIES, TEMPERATURE):
        if word in quantity.words:
            return quantity, ""
        if whole == quantity.column:
            return quantity, "log10" if whole != word else quantity.unit
    if word == "sigma_s_cm":
        return BY_COLUMN["log10_sigma_s_cm"], "S/cm"
    return (BY_COLUMN["log10_sigma_s_cm"], "mS/cm") if word == "sigma_ms_cm" else (None, "")


def _all_words() -> list[str]:
    words = [w for q in (*QUANTITIES, TEMPERATURE) for w in (*q.words, q.column) if len(w) > 2]
    return words + [w for group in TEXTS.values() for w in group if len(w) > 3]


@lru_cache(maxsize=1)
def _registry() -> Any:
    import pint  # slow to import

    return pint.UnitRegistry(autoconvert_offset_to_baseunit=True)


def _unit(text: str, quantity: Quantity) -> str:
    """Return a unit as pint reads it: `mS cm⁻¹` becomes `mS*cm**-1`, C is Celsius where one is meant."""
    if text == "log10":
        return quantity.unit
    if quantity.unit in ("K", "degC"):
        return "degC" if text.casefold() in _CELSIUS else text
    plain = _REFERENCE.sub("", text).replace("⁻¹", "^-1").replace("·", "*").replace("−", "-")
    plain = plain.replace("cm3", "cm^3").replace("cm³", "cm^3")
    return re.sub(r"(?<=[A-Za-zµμΩ])\^?-(\d)", r"**-\1", plain).strip()


def _check_unit(text: str, unit: str, quantity: Quantity, spread: bool) -> None:
    if (spread and unit.casefold() in _RELATIVE | _DECADES) or unit == "log10":
        return
    electrode = _REFERENCE.search(unit)
    if quantity.unit == "V" and electrode and electrode["electrode"].casefold() not in _ELECTRODES:
        raise HeaderError(
            f"the column {text!r} is against {electrode['electrode']}; convert it to V against Li/Li+ "
            "(Na/Na+ for sodium electrolytes) first"
        )
    try:
        fits = _registry().Unit(_unit(unit, quantity)).is_compatible_with(quantity.unit)
    except Exception:  # pint raises many unrelated types for a text that is no unit
        fits = False
    if not fits:
        raise HeaderError(
            f"the column {text!r}: {unit!r} is no unit of {quantity.words[0].replace('_', ' ')}; "
            f"write {quantity.shown}"
        )
