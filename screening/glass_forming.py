"""Which compositions are plausible glasses: a documented rule, with its numbers in the space file.

Two things make a halide melt hard to crystallise. Cations of high field strength (strong Lewis acids:
Al, Ga, Zr, Hf, Nb, Ta, Zn ...) hold their anions as discrete polyhedra that link through corners, and
anions of different kinds (O with Cl, F with Cl) frustrate the packing; oxygen between two such cations
makes the chains of LiAlCl2.5O0.75 (Dai et al. 2023, doi 10.1038/s41560-023-01356-y; Binci et al. 2026,
arXiv 2601.06384). One halogen alone gives glasses with fewer cations: the fluorides of Zr, Hf, In, Ga
(Poulain 1981, doi 10.1038/293279a0), ZnCl2 and its mixtures with AlCl3, and milled amorphous Li-Ta-Cl
(Li et al. 2023, J. Am. Chem. Soc. 145, 27774) and NaTaCl6 (doi 10.1016/j.matt.2023.12.017). With too
few of these cations, or too many mobile ions to each, the network is gone.

The rule is a filter for what is worth predicting as a glass, not a prediction that a glass forms.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element

from softlyte.datasets.formulas import MAX_ATOMIC_NUMBER
from softlyte.screening.space_schema import GlassRule
from softlyte.screening.species import HALOGENS

SUBLATTICES = ("oxyhalide", "mixed_halide", "fluoride", "chloride", "bromide", "iodide")
"""Kinds of anion sublattice that the rule knows; the position is the code, anything else is 255."""

_NO_RULE = 255


def anion_sublattice(elements: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the kind of anion sublattice of each set of elements, [N, M] -> [N], 255 if none applies."""
    has = {s: (elements == Element(s).Z).any(axis=1) for s in (*HALOGENS, "O", "S", "N")}
    halogens = np.sum([has[s] for s in HALOGENS], axis=0)
    code = np.full(len(elements), _NO_RULE, dtype=np.uint8)
    for name, symbol in zip(SUBLATTICES[2:], HALOGENS, strict=True):
        code[(halogens == 1) & has[symbol]] = SUBLATTICES.index(name)
    code[halogens > 1] = SUBLATTICES.index("mixed_halide")
    code[(halogens > 0) & has["O"]] = SUBLATTICES.index("oxyhalide")
    code[has["S"] | has["N"]] = _NO_RULE
    return code


def former_table(rule: GlassRule) -> NDArray[np.bool_]:
    """Return whether an element is a glass former in each kind of sublattice, [256, 104] bool."""
    table = np.zeros((256, MAX_ATOMIC_NUMBER + 1), dtype=np.bool_)
    for code, name in enumerate(SUBLATTICES):
        for symbol in getattr(rule.formers, name):
            table[code, Element(symbol).Z] = True
    return table


def is_plausible_glass(
    rule: GlassRule, former: NDArray, framework: NDArray, mobile: NDArray
) -> NDArray[np.bool_]:
    """Return which compositions the rule calls plausible glasses.

    Args:
        rule: the numbers of the rule.
        former: [N] atoms of glass formers in each.
        framework: [N] atoms of all framework cations.
        mobile: [N] atoms of mobile ions.
    """
    # A tolerance of 1e-9 keeps compositions that lie exactly on a limit.
    enough = former >= rule.min_former_share * framework - 1e-9
    return (former > 0) & enough & (mobile <= rule.max_mobile_per_former * former + 1e-9)
