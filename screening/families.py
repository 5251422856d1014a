"""Chemical families by their anions, and the mobile ion, for any number of compositions at once.

The name says which anions a material holds, as in the literature on solid electrolytes:

- one halogen: fluoride, chloride, bromide, iodide; two or more: mixed-halide;
- the same with oxygen: oxyfluoride ... oxyiodide, oxy-mixed-halide (borates, sulfates and phosphates
  with halogen are counted here too);
- antiperovskite: oxygen and halogen without a framework cation, such as Li3OCl and Li2OHCl;
- oxide, and by their network phosphate, borate, sulfate;
- sulfide, oxysulfide, halosulfide (the argyrodites);
- nitride, nitride-halide (Li9N2Cl3); hydroborate (LiBH4, Li2B12H12, also with halogen);
- other: everything else, such as salts of halogen oxo-acids, carbonates, amides, selenides, alloys.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element

from softlyte.datasets.formulas import MAX_ATOMIC_NUMBER, Compositions

FAMILIES = (
    "fluoride",
    "chloride",
    "bromide",
    "iodide",
    "mixed-halide",
    "oxyfluoride",
    "oxychloride",
    "oxybromide",
    "oxyiodide",
    "oxy-mixed-halide",
    "antiperovskite",
    "oxide",
    "phosphate",
    "borate",
    "sulfate",
    "sulfide",
    "oxysulfide",
    "halosulfide",
    "nitride",
    "nitride-halide",
    "hydroborate",
    "other",
)
"""Family names; the position is the code used in arrays."""

MOBILE_IONS = ("Li", "Na")
"""Mobile ions; the position is the code used in arrays."""

NO_MOBILE_ION = 255
"""Code of a composition with neither lithium nor sodium."""

_CODE = {name: np.uint8(code) for code, name in enumerate(FAMILIES)}

_MARKED = ("F", "Cl", "Br", "I", "O", "S", "N", "P", "B", "H")
_BIT = {symbol: np.uint16(1 << position) for position, symbol in enumerate(_MARKED)}
_ALKALINE = np.uint16(1 << len(_MARKED))
"""Lithium to caesium, magnesium to barium: cations that build no framework of their own."""
_FRAMEWORK = np.uint16(1 << (len(_MARKED) + 1))
"""Any other metal or metalloid."""
_FOREIGN = np.uint16(1 << (len(_MARKED) + 2))
"""Carbon, selenium, tellurium and noble gases: anions or molecules outside the named families."""

_HALOGENS = ("F", "Cl", "Br", "I")
_HALOGEN_MASK = np.uint16(sum(int(_BIT[x]) for x in _HALOGENS))
_GROUP_1 = ("Li", "Na", "K", "Rb", "Cs")
_GROUP_2 = ("Mg", "Ca", "Sr", "Ba")
_OUTSIDE = ("C", "Se", "Te", "He", "Ne", "Ar", "Kr", "Xe", "Rn", "At", "Po")

_MAX_GROUP_2_SHARE = 0.1
"""Share of group-2 cations up to which an oxyhalide of alkali is a (doped) antiperovskite: Li2.99Ba0.005OCl
(Braga 2014, doi 10.1039/C3TA15087A) is one, LiMgOCl is not."""


@lru_cache(maxsize=1)
def _marks() -> NDArray[np.uint16]:
    marks = np.full(MAX_ATOMIC_NUMBER + 1, _FRAMEWORK, dtype=np.uint16)
    marks[0] = 0
    for symbol in _GROUP_1 + _GROUP_2:
        marks[Element(symbol).Z] = _ALKALINE
    for symbol in _OUTSIDE:
        marks[Element(symbol).Z] = _FOREIGN
    for symbol, bit in _BIT.items():
        marks[Element(symbol).Z] = bit
    marks.flags.writeable = False
    return marks


def _amounts(compositions: Compositions, elements: tuple[str, ...]) -> NDArray[np.float64]:
    total = np.zeros(len(compositions))
    for symbol in elements:
        total += compositions.amount_of(symbol)
    return total


def classify_family(compositions: Compositions) -> NDArray[np.uint8]:
    """Return the chemical family of each composition as an index into FAMILIES, [N] uint8.

    Every element counts however small its amount; the rules are in the module's description.
    """
    present = np.bitwise_or.reduce(_marks()[compositions.atomic_numbers], axis=1)

    def has(mask: np.uint16) -> NDArray[np.bool_]:
        return (present & mask) != 0

    halogens = present & _HALOGEN_MASK
    halide, oxygen, sulfur = halogens != 0, has(_BIT["O"]), has(_BIT["S"])
    nitrogen, hydrogen, foreign = has(_BIT["N"]), has(_BIT["H"]), has(_FOREIGN)

    # Sulfur with more than three oxygens to each is the centre of a sulfate, else an anion.
    both = np.flatnonzero(sulfur & oxygen)
    sulfate = np.zeros(len(compositions), dtype=np.bool_)
    if len(both):
        rows = compositions[both]
        sulfate[both] = rows.amount_of("O") > 3.0 * rows.amount_of("S") + 1e-9
    sulfide = sulfur & ~sulfate

    family = np.full(len(compositions), _CODE["other"], dtype=np.uint8)

    def assign(where: NDArray[np.bool_], name: str) -> None:
        family[where] = _CODE[name]

    plain = ~foreign & ~nitrogen & ~sulfide
    for symbol in _HALOGENS:
        only = plain & (halogens == _BIT[symbol])
        stem = {"F": "fluoride", "Cl": "chloride", "Br": "bromide", "I": "iodide"}[symbol]
        assign(only & ~oxygen & ~hydrogen & ~sulfate, stem)
        assign(only & oxygen, "oxy" + stem)
    several = plain & halide & (halogens & (halogens - np.uint16(1)) != 0)
    assign(several & ~oxygen & ~hydrogen, "mixed-halide")
    assign(several & oxygen, "oxy-mixed-halide")
    _separate_frameless(compositions, plain & halide & oxygen & ~sulfate & ~has(_FRAMEWORK), present, family)

    oxide = plain & oxygen & ~halide & ~hydrogen
    assign(oxide, "oxide")
    assign(oxide & has(_BIT["B"]), "borate")
    assign(oxide & sulfate, "sulfate")
    assign(oxide & has(_BIT["P"]), "phosphate")

    thio = sulfide & ~foreign & ~nitrogen & ~hydrogen
    assign(thio & ~halide & ~oxygen, "sulfide")
    assign(thio & ~halide & oxygen, "oxysulfide")
    assign(thio & halide, "halosulfide")

    nitride = nitrogen & ~oxygen & ~sulfur & ~hydrogen & ~foreign
    assign(nitride & ~halide, "nitride")
    assign(nitride & halide, "nitride-halide")

    # Carbon is allowed here only: the carba-hydroborates LiCB11H12, NaCB9H10.
    assign(hydrogen & has(_BIT["B"]) & ~oxygen & ~nitrogen & ~sulfur, "hydroborate")
    return family


def _separate_frameless(
    compositions: Compositions,
    rows: NDArray[np.bool_],
    present: NDArray[np.uint16],
    family: NDArray[np.uint8],
) -> None:
    """Rename, in place, oxyhalides without framework cation: antiperovskites and oxo-acid salts.

    In LiClO4 the anions, counted as O(2-) and Cl(-), carry more charge than the cations can: the halogen
    is then no anion, and the row is "other".
    """
    network = np.uint16(_BIT["P"] | _BIT["B"])
    index = np.flatnonzero(rows & ((present & network) == 0))
    if not len(index):
        return
    chosen = compositions[index]
    alkali = _amounts(chosen, (*_GROUP_1, "H"))
    earths = _amounts(chosen, _GROUP_2)
    negative = 2.0 * chosen.amount_of("O") + _amounts(chosen, _HALOGENS)
    positive = alkali + 2.0 * earths
    # Published formulas are rounded: a hundredth of the charge may be missing.
    oxo_acid = negative > 1.01 * positive
    doped_at_most = earths <= _MAX_GROUP_2_SHARE * (alkali + earths)
    family[index[oxo_acid]] = _CODE["other"]
    family[index[~oxo_acid & doped_at_most]] = _CODE["antiperovskite"]


def mobile_ion_of(compositions: Compositions) -> NDArray[np.uint8]:
    """Return the more abundant of lithium and sodium as an index into MOBILE_IONS, [N] uint8.

    Equal amounts count as lithium; NO_MOBILE_ION (255) where the composition holds neither.
    """
    lithium, sodium = (compositions.amount_of(ion) for ion in MOBILE_IONS)
    code = np.where(sodium > lithium, 1, 0)
    return np.where((lithium > 0) | (sodium > 0), code, NO_MOBILE_ION).astype(np.uint8)
