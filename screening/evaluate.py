"""From compositions to a table of everything known about them: networks, hull, pressure, cost, decision."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from softlyte.datasets.columns import PHASES, PREDICT_COLUMNS
from softlyte.datasets.formulas import Compositions
from softlyte.featurize.phase_diagram import HullStore
from softlyte.models.predictions import Predictions, PropertyPrediction, StructurePredictions
from softlyte.screening.costing import Costing
from softlyte.screening.decision import Assessment, assess, flags, joint_probability
from softlyte.screening.families import FAMILIES, MOBILE_IONS, classify_family, mobile_ion_of
from softlyte.screening.glass_transition import SOURCES
from softlyte.screening.known import nearest_known
from softlyte.screening.pressure import MECHANISMS, MODULI, Conditions
from softlyte.screening.sampled import sampled_columns
from softlyte.screening.stability import HULL_BASES, Stability, of_structures, stability
from softlyte.screening.targets import Targets

HULL_ENERGY = "e_above_hull_ev_atom"


class PropertyPredictor(Protocol):
    """What the screening asks of a model; `softlyte.models.predictor.Predictor` is one."""

    @property
    def known_elements(self) -> NDArray[np.bool_]:
        """[104] True for atomic numbers that training has seen."""
        ...

    @property
    def weights_sha256(self) -> str:
        """Checksum of the weights."""
        ...

    def predict(self, compositions: Compositions, phase: NDArray[np.uint8]) -> Predictions:
        """Predict every property of N compositions in N phases (index into PHASES)."""
        ...


@dataclass(frozen=True)
class Evaluation:
    """Everything known about N compositions in their phases.

    Attributes:
        compositions: N compositions.
        phase: [N] index into PHASES.
        stability: where they stand against the hull.
        assessment: distributions that targets are judged by, the hull's included.
    """

    compositions: Compositions
    phase: NDArray[np.uint8]
    stability: Stability
    assessment: Assessment


_ONE_AT_A_TIME = threading.Lock()
"""A HullStore builds and remembers hulls as they are asked for and is not made for several threads."""


def default_hull() -> HullStore:
    """Return the hulls of the shipped formation energies, built once."""
    with _ONE_AT_A_TIME:
        return _shipped_hull()


@lru_cache(maxsize=1)
def _shipped_hull() -> HullStore:
    return HullStore.from_table()


def evaluate(
    compositions: Compositions,
    phase: NDArray[np.uint8],
    predictor: PropertyPredictor,
    hull: HullStore,
    progress: Callable[[int], None] | None = None,
    conditions: Conditions | None = None,
    costing: Costing | None = None,
    named: bool = True,
    structures: StructurePredictions | None = None,
) -> Evaluation:
    """Predict, place on the hull and price N compositions.

    Args:
        compositions: N compositions of elements that the predictor knows.
        phase: [N] index into PHASES.
        predictor: the ensemble.
        hull: formation energies of known phases.
        progress: called with the number of distinct compositions whose hull was just finished.
        conditions: under which the stack pressure is asked for; None for the defaults.
        costing: prices, route and layer; None for the shipped prices.
        named: name decomposition products, which takes a third of the hull's time.
        structures: what each one's structure says, in place of what the ensemble says of its composition;
            its formation energy sets the distance from the hull.
    """
    predictions = predictor.predict(compositions, phase)
    heads = predictions["reduction_v"], predictions["oxidation_v"]
    with _ONE_AT_A_TIME:
        stable = stability(
            compositions, predictions["formation_energy_ev_atom"], hull, progress, named=named, heads=heads
        )
    if structures is not None:
        predictions = predictions.with_structures(structures)
        stable = of_structures(stable, compositions, predictions["formation_energy_ev_atom"], hull)
    overrides = {HULL_ENERGY: stable.e_above_hull}
    for name, window in (("reduction_v", stable.reduction_v), ("oxidation_v", stable.oxidation_v)):
        overrides[name] = window.where_known(predictions[name])
    assessment = assess(compositions, phase, predictions, overrides, conditions, costing)
    return Evaluation(compositions, phase, stable, assessment)


def result_table(evaluation: Evaluation, targets: Targets) -> pd.DataFrame:
    """Return PREDICT_COLUMNS and precursor_route of N evaluated compositions, in the order given.

    A costing in another currency than USD adds CURRENCY_COLUMNS.

    Energies above the hull are shown from 0 up: below the hull of its competitors a phase is stable.
    Windows are the hull's; `hull_basis` names the rows that have no hull and keep the network's.
    """
    assessment, compositions = evaluation.assessment, evaluation.compositions
    predictions, stable = assessment.predictions, evaluation.stability
    costing = assessment.costing
    routes = costing.routes(compositions)
    costs = costing.columns(assessment.cost, predictions["density_g_cm3"])
    currency = costing.currency_columns(costs)
    ion = mobile_ion_of(compositions)
    names, distance = nearest_known(compositions)
    lower, upper = assessment.pressure.interval()
    columns: dict[str, object] = {
        "formula": compositions.formulas(),
        "mobile_ion": np.array([*MOBILE_IONS, ""])[np.minimum(ion, len(MOBILE_IONS))],
        "family": np.array(FAMILIES)[classify_family(compositions)],
        "phase": np.array(PHASES)[assessment.phase],
        "stack_pressure_mpa": assessment.pressure.median(),
        "stack_pressure_mpa_lower": lower,
        "stack_pressure_mpa_upper": upper,
        "pressure_mechanism": np.array(MECHANISMS)[assessment.pressure.mechanism()],
        "pressure_modulus": np.array(MODULI)[assessment.pressure.modulus()],
        "p_flow": assessment.pressure.p_flow(),
        "p_below_target_pressure": assessment.pressure.probability_below(targets.pressure_mpa()),
        **costs,
        **currency,
        "p_all_targets": joint_probability(assessment, targets),
        "nearest_known": names,
        "distance_to_known": distance,
        "hull_basis": np.array(HULL_BASES)[stable.basis],
        "p_within_50_mev": stable.p_within_50_mev(),
        "decomposition_products": stable.decomposition,
        "reduction_products": stable.reduction_products,
        "oxidation_products": stable.oxidation_products,
        "applicability": predictions.applicability,
        "flags": _with_hull_flags(flags(assessment, [r.estimated for r in routes]), stable),
        "precursor_route": [str(route) for route in routes],
    }
    for name, (median, low, high) in sampled_columns(assessment).items():
        columns |= {name: median, f"{name}_lower": low, f"{name}_upper": high}
    for name in (
        "youngs_modulus_gpa",
        "bulk_modulus_gpa",
        "shear_modulus_gpa",
        "oxidation_v",
        "reduction_v",
        "density_g_cm3",
    ):
        columns |= _with_interval(name, predictions[name])
    glass = assessment.phase == PHASES.index("glass")
    columns |= _with_interval("glass_transition_k", predictions["glass_transition_k"], shown=glass)
    columns["glass_transition_source"] = np.where(glass, np.array(SOURCES)[assessment.transition.source], "")
    columns |= _with_interval("sigma_ms_cm", predictions["sigma_s_cm"], factor=1e3)
    for name, values in _with_interval("sigma_s_cm", predictions["sigma_s_cm"]).items():
        columns["log10_" + name] = np.log10(values)
    for name, values in _with_interval(HULL_ENERGY, predictions[HULL_ENERGY]).items():
        columns[name] = np.maximum(values, 0.0)  # keeps NaN
    return pd.DataFrame(columns)[[*PREDICT_COLUMNS, "precursor_route", *currency]]


def _with_interval(
    name: str,
    prediction: PropertyPrediction,
    factor: float = 1.0,
    shown: NDArray[np.bool_] | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Return the median and the ends of the interval of one property; NaN where not shown."""
    lower, upper = prediction.interval()
    values = {name: prediction.median(), f"{name}_lower": lower, f"{name}_upper": upper}
    keep = np.ones(len(prediction), dtype=bool) if shown is None else shown
    return {key: np.where(keep, value * factor, np.nan) for key, value in values.items()}


def _with_hull_flags(cautions: NDArray[np.object_], stable: Stability) -> NDArray[np.object_]:
    """Add why there is no energy above the hull, where there is none."""
    texts = cautions.copy()
    for row in np.flatnonzero(stable.reason != ""):
        texts[row] = "; ".join(part for part in (texts[row], f"no hull: {stable.reason[row]}") if part)
    return texts
