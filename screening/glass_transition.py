"""The glass transition from three sources, each weighed by where it holds.

Rule: Tg is 0.65 of the measured eutectic or melting temperature of the low-melting complex, within a tenth
(learned from halide glasses of which both are measured). Ideal mixture: the same ratio on the eutectic of an
ideal mixture of the simple salts, known to lie too high; used where nothing is measured. Network: its own
head, with its error widened where the training glasses do not hold the composition's cations beside its main
anion. Every source states a standard deviation; the better of the first two and the network are averaged with
inverse variances, and the result is widened where they contradict each other.

The cited glass transitions of `glass_transition_cited` enter nothing here: they are checks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element

from softlyte.datasets.formulas import MAX_ATOMIC_NUMBER, Compositions
from softlyte.datasets.tables import load_table
from softlyte.models.predictions import PropertyPrediction
from softlyte.models.support import ANIONS as ANION_CLASSES
from softlyte.models.support import main_anion
from softlyte.screening.fusion import ANIONS, HALOGENS, OXYGEN, Reference, ideal_eutectic_of, references
from softlyte.screening.parameters import parameter

FloatArray = NDArray[np.float64]

SOURCES = ("network", "ideal mixture", "rule")
"""What a glass transition mainly comes from; the position is the code used in arrays."""

UNMEASURED_SLOPE = 0.5
"""Relative standard deviation per unit of distance from a simple salt or an ideal eutectic, where no complex
was
measured: complexes melt 10% below (LiAlCl4 under AlCl3) or half as high again (alkali
hexachlorotantalates)."""

OTHER_HALOGEN_SLOPE = 0.25
"""Relative standard deviation per unit of the share of halogens other than the reference's, one of both
fluorine; among Cl, Br and I the measured glasses of like cations differ by no more than repeat
measurements."""

FOREIGN_SLOPE = 1.0
"""Relative standard deviation per unit of the share of framework cations that the reference does not hold."""

LEAST_COVERAGE = 0.5
"""A reference speaks for a melt only if it holds at least this share of the framework cations (all but alkali
metals): with less, the melt is not that complex's."""

ALKALI = tuple(Element(symbol).Z for symbol in ("Li", "Na", "K", "Rb", "Cs"))

LEAST_SHARE = 0.05
"""Cations below this share of all cations do not decide whether the network knows the chemistry."""

ENOUGH_GLASSES = 20
"""With this many measured glasses of a cation beside the main anion the network counts as inside its
domain."""

_FLUORINE = HALOGENS[0]
_NUMBERS = np.arange(MAX_ATOMIC_NUMBER + 1)
_IS_ANION = np.isin(_NUMBERS, list(ANIONS))
_IS_HALOGEN = np.isin(_NUMBERS, HALOGENS)
_IS_ALKALI = np.isin(_NUMBERS, ALKALI)


@dataclass(frozen=True)
class GlassTransition:
    """Glass transition of N materials.

    Attributes:
        prediction: in K, [E, N].
        source: [N] index into SOURCES, the one with the largest weight.
        reference_k: [N] measured or ideal temperature that the rule started from, NaN where there is none.
        reference: [N] index into `reference_labels()`, -1 where no measured one was used.
    """

    prediction: PropertyPrediction
    source: NDArray[np.int8]
    reference_k: FloatArray
    reference: NDArray[np.int16]

    def take(self, rows: slice | NDArray[np.int64] | NDArray[np.bool_]) -> GlassTransition:
        """Return the chosen materials."""
        return GlassTransition(
            self.prediction.take(rows), self.source[rows], self.reference_k[rows], self.reference[rows]
        )


def reference_labels() -> tuple[str, ...]:
    """Return the labels of the measured references, in the order of their index."""
    return tuple(reference.label for reference in references())


@dataclass(frozen=True)
class RuleEstimate:
    """What melting says about the glass transition of N materials.

    Attributes:
        mean_k, sd_k: [N] normal distribution, NaN and inf where nothing is known.
        reference_k: [N] temperature that it started from, NaN where there is none.
        reference: [N] index into `reference_labels()`, -1 for an ideal mixture or none.
    """

    mean_k: FloatArray
    sd_k: FloatArray
    reference_k: FloatArray
    reference: NDArray[np.int16]


def rule_estimate(compositions: Compositions, measured: bool = True, ideal: bool = True) -> RuleEstimate:
    """Return Tg = ratio * T of the reference with the smallest standard deviation.

    A reference applies where all of its cations and its halogen are there and it holds most of the framework
    cations. Its relative standard deviation is that of the ratio, and grows with the distance in cation
    shares (half the sum of absolute differences, at the pace at which the measured halide glasses differ),
    the share of framework cations that it does not hold, the share of oxygen among the anions and the share
    of other halogens.

    Args:
        compositions: N compositions.
        measured: use measured eutectics and melting points.
        ideal: use the eutectic of an ideal mixture.
    """
    n = len(compositions)
    result = RuleEstimate(
        np.full(n, np.nan), np.full(n, np.inf), np.full(n, np.nan), np.full(n, -1, dtype=np.int16)
    )
    numbers = compositions.atomic_numbers
    systems, where = np.unique(numbers, axis=0, return_inverse=True)
    order = np.argsort(where.ravel(), kind="stable")
    ends = np.searchsorted(where.ravel()[order], np.arange(len(systems) + 1))
    for system, start, end in zip(systems, ends[:-1], ends[1:], strict=True):
        rows = order[start:end]
        elements = frozenset(int(z) for z in system if z)
        applying = _candidates(elements, measured, ideal)
        if applying:
            _one_system(result, rows, system, compositions.amounts[rows], applying)
    return result


def _one_system(
    result: RuleEstimate,
    rows: NDArray[np.int64],
    system: NDArray[np.uint8],
    amounts: FloatArray,
    applying: list[tuple[int, float, dict[int, float], int, float]],
) -> None:
    """Fill in the estimate of the rows of one set of elements, in place."""
    anion = _IS_ANION[system]
    is_cation = ~anion & (system > 0)
    anions, cations = amounts * anion, amounts * is_cation
    with np.errstate(invalid="ignore", divide="ignore"):
        anions = anions / anions.sum(axis=1, keepdims=True)
        cations = cations / cations.sum(axis=1, keepdims=True)
    ratio = parameter("glass_transition_ratio")
    oxygen_share = anions[:, system == OXYGEN].sum(axis=1)
    oxygen = parameter("glass_transition_oxygen_slope").value * oxygen_share
    fluorine = anions[:, system == _FLUORINE].sum(axis=1)
    halogen = anions[:, _IS_HALOGEN[system]].sum(axis=1)
    # Chalcogens and nitrogen are no halide melt's: nothing is known about such a mixture.
    strange = 1.0 - halogen - oxygen_share
    slope = parameter("glass_transition_cation_slope").value
    framework = np.where(_IS_ALKALI[system], 0.0, cations)
    with np.errstate(invalid="ignore", divide="ignore"):
        framework = np.nan_to_num(framework / framework.sum(axis=1, keepdims=True))
    for number, kelvin, shares, of, extra in applying:
        wanted = np.array([shares.get(int(z), 0.0) for z in system])
        distance = 0.5 * np.abs(cations - wanted).sum(axis=1)
        covered = framework[:, wanted > 0].sum(axis=1)
        other = halogen - fluorine if of == _FLUORINE else fluorine
        unmeasured = 0.0 if number >= 0 and references()[number].is_mixture else UNMEASURED_SLOPE
        variance = (
            (ratio.sd / ratio.value) ** 2
            + (slope**2 + unmeasured**2) * distance**2
            + (FOREIGN_SLOPE * (1.0 - covered)) ** 2
            + oxygen**2
            + (OTHER_HALOGEN_SLOPE * other) ** 2
            + strange**2
            + extra**2
        )
        sd = ratio.value * kelvin * np.sqrt(variance)
        better = (sd < result.sd_k[rows]) & (covered >= LEAST_COVERAGE - 1e-9)
        at = rows[better]
        result.mean_k[at], result.sd_k[at] = ratio.value * kelvin, sd[better]
        result.reference_k[at], result.reference[at] = kelvin, number


def _candidates(
    elements: frozenset[int], measured: bool, ideal: bool
) -> list[tuple[int, float, dict[int, float], int, float]]:
    """Return index, temperature in K, cation shares, halogen and extra relative error of what applies."""
    found: list[tuple[int, float, dict[int, float], int, float]] = []
    if measured:
        found += [
            (number, reference.temperature_k, reference.cations, reference.halogen, 0.0)
            for number, reference in enumerate(references())
            if _covers(reference, elements)
        ]
    if ideal:
        mixture = ideal_eutectic_of(elements)
        if mixture is not None:
            excess = parameter("ideal_eutectic_excess_k")
            kelvin = max(mixture[0] - excess.value, 0.5 * mixture[0])
            chlorine = HALOGENS[1] if elements & frozenset(HALOGENS[1:]) else _FLUORINE
            found.append((-1, kelvin, mixture[1], chlorine, excess.sd / kelvin))
    return found


def _covers(reference: Reference, elements: frozenset[int]) -> bool:
    """Tell whether all of a reference's elements are in a system."""
    return reference.halogen in elements and elements.issuperset(reference.cations)


@lru_cache(maxsize=1)
def _measured_glasses() -> FloatArray:
    """Return glasses with a measured transition by atomic number and main anion class, [104, A]."""
    counts = np.zeros((MAX_ATOMIC_NUMBER + 1, len(ANION_CLASSES) + 1))
    table = load_table("glass_transition_support")
    anions = [0 if not a else ANION_CLASSES.index(int(a)) + 1 for a in table["anion_atomic_number"]]
    counts[table["atomic_number"].to_numpy(dtype=np.int64), anions] = table["glasses"]
    return counts


def network_domain(compositions: Compositions) -> FloatArray:
    """Return how far the training glasses hold a composition's chemistry, [N] in 0..1.

    The count of glasses with a measured transition that hold a cation (at least a tenth of the cations)
    beside the same main anion, over ENOUGH_GLASSES, of the least known cation.
    """
    numbers = compositions.atomic_numbers.astype(np.int64)
    cation = (numbers > 0) & ~_IS_ANION[numbers]
    amounts = np.where(cation, compositions.amounts, 0.0)
    total = amounts.sum(axis=1, keepdims=True)
    decides = cation & (amounts >= LEAST_SHARE * total)
    known = _measured_glasses()[numbers, main_anion(compositions)[:, None]]
    least = np.where(decides, known, np.inf).min(axis=1, initial=np.inf)
    return np.where(np.isinf(least), 0.0, np.minimum(least / ENOUGH_GLASSES, 1.0))


def glass_transition(
    compositions: Compositions,
    network: PropertyPrediction | None,
    measured: bool = True,
    ideal: bool = True,
) -> GlassTransition:
    """Return the glass transition of N compositions from the sources that are switched on.

    Args:
        compositions: N compositions.
        network: the ensemble's glass_transition_k, [E, N]; None leaves the network out.
        measured: use measured eutectics and melting points.
        ideal: use the eutectic of an ideal mixture where nothing better is measured.

    Where no source is left the value is NaN with an infinite spread.
    """
    rule = rule_estimate(compositions, measured, ideal)
    members = 1 if network is None else len(network.member_mean)
    if network is None:
        precision = np.zeros((members, len(compositions)))
        mean = np.zeros_like(precision)
    else:
        outside = (1.0 - network_domain(compositions)) * parameter("glass_transition_blind").value
        mean = network.member_mean
        precision = 1.0 / (network.member_sd**2 + (outside * np.abs(mean)) ** 2)
    known = np.isfinite(rule.sd_k)
    rule_precision = np.where(known, 1.0 / np.where(known, rule.sd_k, 1.0) ** 2, 0.0)
    rule_mean = np.where(known, rule.mean_k, 0.0)
    total = precision + rule_precision
    with np.errstate(invalid="ignore", divide="ignore"):
        combined = (precision * mean + rule_precision * rule_mean) / total
        gap = (mean - rule_mean) ** 2 * precision * rule_precision / total
        sd = np.sqrt(np.maximum(1.0, np.nan_to_num(gap)) / total)
        weight = np.nan_to_num(rule_precision / total.mean(axis=0))
    source = np.where(weight <= 0.5, 0, np.where(rule.reference >= 0, 2, 1)).astype(np.int8)
    return GlassTransition(PropertyPrediction(combined, sd), source, rule.reference_k, rule.reference)
