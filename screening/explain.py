"""One candidate's stack pressure in words and pictures: the function behind `softlyte pressure`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlyte.datasets.columns import COLUMNS, PHASES
from softlyte.models.crystal_predictor import CrystalPredictor, known_density
from softlyte.models.predictions import PropertyPrediction
from softlyte.models.predictor import Predictor
from softlyte.screening.advice import Layer, Strategy, interface_layers, strategies_below
from softlyte.screening.contact import contact_for_resistance, elastic_pressure_mpa, plastic_pressure_mpa
from softlyte.screening.decision import Assessment, assess
from softlyte.screening.evaluate import PropertyPredictor
from softlyte.screening.glass_transition import SOURCES, reference_labels
from softlyte.screening.inputs import InputError, check_rows, rows_from_formulas, usable
from softlyte.screening.mechanics import mechanics
from softlyte.screening.own_solid import OwnModuli, read_own_crystal
from softlyte.screening.parameters import parameter
from softlyte.screening.pressure import MECHANISMS, MODULI, Conditions, StackPressure
from softlyte.screening.sampled import sampled_columns
from softlyte.screening.targets import Targets, load_targets

FloatArray = NDArray[np.float64]
Triple = tuple[float, float, float]
"""Median, lower and upper end of a 90% interval."""

BINS_MPA = (0.1, 0.5, 2.0, 10.0, 50.0, 200.0)
"""Limits of the classes that a distribution is shown in."""

_BAR = 40
"""Characters of the longest bar."""

_WIDTH = 100

SHOWN_STRATEGIES = 6


@dataclass(frozen=True)
class PressureReport:
    """Everything about the stack pressure of one candidate in one phase.

    Attributes:
        formula: composition.
        phase: crystal or glass.
        conditions: under which the pressure is asked for.
        target_mpa: pressure that the cell maker accepts.
        values: median, lower and upper end by column: modulus, hardness, glass transition, pressure, pellet.
        reference: what the glass transition mostly rests on, "" for a crystal.
        governing: mechanism (elastic, plastic or flow).
        modulus: which modulus the pressure rests on.
        p_flow: P(glass transition below the use temperature).
        p_below_target: P(required pressure below the target).
        elastic_mpa: what the elastic contact model alone asks for, at the median moduli.
        plastic_mpa: what the plastic one asks for.
        solid: median and interval of the required pressure if the material does not flow.
        with_alkali_metal: the same, all mechanisms, beside an alkali-metal electrode.
        distribution: the required pressure, one material.
        strategies: what brought comparable cells to the target.
        layers: functional layers and interphases.
        applicability: of the network's predictions, 0 to 1.
        given: sentences about what did not come from the networks, structure and moduli.
    """

    formula: str
    phase: str
    conditions: Conditions
    target_mpa: float
    values: dict[str, Triple]
    reference: str
    governing: str
    modulus: str
    p_flow: float
    p_below_target: float
    elastic_mpa: float
    plastic_mpa: float
    solid: Triple
    with_alkali_metal: Triple
    distribution: StackPressure
    strategies: list[Strategy]
    layers: list[Layer]
    applicability: float
    given: tuple[str, ...] = ()

    def shares(self) -> FloatArray:
        """Return the probability of each class between BINS_MPA, [len(BINS_MPA) + 1]."""
        below = [0.0, *(float(self.distribution.probability_below(p)[0]) for p in BINS_MPA), 1.0]
        return np.diff(below)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values, for JSON; the distribution as its classes."""
        limits = (0.0, *BINS_MPA, math.inf)
        classes = zip(limits, limits[1:], self.shares().tolist(), strict=False)
        alone = ("formula", "phase", "target_mpa", "reference", "governing", "modulus", "p_flow")
        further = ("p_below_target", "elastic_mpa", "plastic_mpa", "applicability")
        return {name: getattr(self, name) for name in (*alone, *further)} | {
            "conditions": asdict(self.conditions),
            "given": list(self.given),
            "values": {name: _named(triple) for name, triple in self.values.items()},
            "without_flow_mpa": _named(self.solid),
            "with_alkali_metal_mpa": _named(self.with_alkali_metal),
            "distribution": [{"from_mpa": low, "to_mpa": high, "share": p} for low, high, p in classes],
            "strategies": [asdict(strategy) for strategy in self.strategies],
            "layers": [asdict(layer) for layer in self.layers],
        }

    def text(self) -> str:
        """Return the report in words; what is quoted is at most 100 characters wide."""
        return "\n".join(_words(self)) + "\n"


def explain_pressure(
    formulas: Sequence[str] = (),
    phase: str | None = None,
    conditions: Conditions | None = None,
    resistance_ohm_cm2: float | None = None,
    targets: Targets | Path | str | None = None,
    predictor: PropertyPredictor | None = None,
    weights: Path | str | None = None,
    device: str = "auto",
    structure: Path | str | None = None,
    moduli: OwnModuli | None = None,
    crystal_predictor: CrystalPredictor | None = None,
    crystal_weights: Path | str | None = None,
) -> list[PressureReport]:
    """Explain the stack pressure of formulas, a report for each formula and phase.

    Args:
        formulas: such as ["Li3YCl6", "LiAlCl2.5O0.75"]; none with a structure.
        phase: "crystal", "glass" or None for both.
        conditions: use temperature, contact and electrode; None for those of the targets.
        resistance_ohm_cm2: interface resistance that may be lost to constriction; it sets the contact in
            place of the conditions' (from the predicted conductivity).
        targets: loaded targets or a TOML file; None for the shipped ones.
        predictor: an ensemble already loaded; None loads `weights`.
        weights: folder of trained weights; None for the shipped ones.
        device: "auto", "cpu" or "cuda", for loading weights.
        structure: CIF, POSCAR or pymatgen JSON file of one crystal; its moduli and density are predicted
            from the structure.
        moduli: of the one solid that is asked for, in place of the networks'.
        crystal_predictor: networks on structures already loaded; None loads `crystal_weights`.
        crystal_weights: folder of trained weights for structures; None for the shipped ones.

    Raises:
        InputError: a formula or the structure cannot be used (the message names the first), or moduli are
            given for more than one solid.
        UserError: targets, weights, device or conditions cannot be used.
    """
    aims = targets if isinstance(targets, Targets) else load_targets(targets)
    conditions = aims.working_conditions() if conditions is None else conditions
    crystal = None if structure is None else read_own_crystal(structure)
    if crystal is not None:
        if len(formulas) or phase == "glass":
            raise InputError("a structure is one crystal; leave formulas and the glass out")
        formulas, phase = [crystal.formula], "crystal"
    if moduli is not None and (len(formulas) != 1 or phase is None):
        raise InputError("moduli belong to one solid; give one formula and its phase, or a structure")
    model = Predictor.load(weights, device) if predictor is None else predictor
    networks, known = crystal_predictor, model.known_elements
    if crystal is not None and moduli is None:
        networks = CrystalPredictor.load(crystal_weights, device) if networks is None else networks
        known = known & networks.known_elements
    inputs = check_rows(rows_from_formulas(formulas), known, phase)
    usable(inputs.rejected)
    predictions = model.predict(inputs.compositions, inputs.phase)
    reports = []
    for row, formula in enumerate(inputs.compositions.formulas()):
        one = slice(row, row + 1)
        asked = conditions
        if resistance_ohm_cm2 is not None:
            sigma = predictions["sigma_s_cm"].median()[row]
            asked = replace(conditions, contact=float(contact_for_resistance(resistance_ohm_cm2, sigma)))
        said = predictions.take(one)
        members = len(said["bulk_modulus_gpa"].member_mean)
        own: dict[str, PropertyPrediction] = {}
        if crystal is not None and networks is not None:
            said = said.with_structures(networks.predict(crystal.crystal))
        elif crystal is not None:
            own["density_g_cm3"] = known_density(crystal.crystal).with_members(members)
        if moduli is not None:
            own |= moduli.overrides(members, phase == "glass")
            said = replace(said, modulus_correlation=0.0)  # that of the networks' errors
        judged = assess(inputs.compositions[one], inputs.phase[one], said, own, asked)
        given = tuple(str(part) for part in (crystal, moduli) if part is not None)
        reports.append(replace(_report(formula, judged, aims.pressure_mpa()), given=given))
    return reports


def _report(formula: str, judged: Assessment, target_mpa: float) -> PressureReport:
    predictions, pressure, transition = judged.predictions, judged.pressure, judged.transition
    values = {name: _triple(*ends) for name, ends in sampled_columns(judged).items()}
    values["youngs_modulus_gpa"] = _triple(
        predictions["youngs_modulus_gpa"].median(), *predictions["youngs_modulus_gpa"].interval()
    )
    values["stack_pressure_mpa"] = _of(pressure)
    glass = bool(pressure.glass[0])
    reference = ""
    if glass:
        kelvin = predictions["glass_transition_k"]
        values["glass_transition_k"] = _triple(kelvin.median(), *kelvin.interval())
        reference = SOURCES[transition.source[0]]
        if transition.reference[0] >= 0:
            reference += (
                f" ({reference_labels()[transition.reference[0]]}, {transition.reference_k[0]:.0f} K)"
            )
    pellet = 1.0 if glass else 10.0 ** parameter("pellet_log10_offset").value
    solid = mechanics(
        predictions["bulk_modulus_gpa"].median() * pellet, predictions["shear_modulus_gpa"].median() * pellet
    )
    hardness = solid.hardness_tian_gpa * 10.0 ** parameter("hardness_tian_log10_offset").value
    contact = judged.conditions.contact
    shift = parameter("alkali_metal_shift")
    metal = pressure
    if not judged.conditions.alkali_metal:
        metal = replace(
            pressure,
            solid_mean=pressure.solid_mean + shift.value,
            solid_sd=np.hypot(pressure.solid_sd, shift.sd),
        )
    return PressureReport(
        formula=formula,
        phase=PHASES[judged.phase[0]],
        conditions=judged.conditions,
        target_mpa=target_mpa,
        values=values,
        reference=reference,
        governing=MECHANISMS[pressure.mechanism()[0]],
        modulus=MODULI[pressure.modulus()[0]],
        p_flow=float(pressure.p_flow()[0]),
        p_below_target=float(pressure.probability_below(target_mpa)[0]),
        elastic_mpa=float(elastic_pressure_mpa(solid.plane_modulus_gpa, contact)[0]),
        plastic_mpa=float(plastic_pressure_mpa(hardness, contact)[0]),
        solid=_of(replace(pressure, flow_weight=np.zeros_like(pressure.flow_weight))),
        with_alkali_metal=_of(metal),
        distribution=pressure,
        strategies=strategies_below(target_mpa, values["youngs_modulus_gpa"][0]),
        layers=interface_layers(),
        applicability=float(predictions.applicability[0]),
    )


def _of(pressure: StackPressure) -> Triple:
    return _triple(pressure.median(), *pressure.interval())


def _triple(median: FloatArray, low: FloatArray, high: FloatArray) -> Triple:
    return float(median[0]), float(low[0]), float(high[0])


def _named(triple: Triple) -> dict[str, float]:
    return dict(zip(("median", "lower", "upper"), triple, strict=True))


def _number(value: float) -> str:
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def _interval(triple: Triple, unit: str = "") -> str:
    median, low, high = (_number(value) for value in triple)
    return f"{median}{' ' + unit if unit else ''} [{low}, {high}]"


def _words(report: PressureReport) -> list[str]:
    """Return the lines of a report."""
    v, asked = report.values, report.conditions
    metal = "beside an alkali-metal electrode" if asked.alkali_metal else "no alkali metal beside it"
    lines = [
        f"{report.formula} as a {report.phase} at {asked.temperature_c:g} C, "
        f"{asked.contact:.2g} of real contact wanted, {metal}",
        "",
        f"Needs {_interval(v['stack_pressure_mpa'], 'MPa')} (90% interval); "
        f"P(below {report.target_mpa:g} MPa) = {report.p_below_target:.2f}. "
        f"Contact is kept by: {report.governing}.",
        "",
    ]
    for share, (low, high) in zip(
        report.shares(), zip((0.0, *BINS_MPA), (*BINS_MPA, np.inf), strict=True), strict=True
    ):
        label = f"above {low:g}" if high == np.inf else f"{low:g}-{high:g}"
        lines.append(f"  {label:>9} MPa {'#' * round(_BAR * share):<{_BAR}} {share:.2f}".rstrip())
    lines += ["", "Why", *(f"  {sentence}" for sentence in report.given)]
    lines += [
        f"  Young's modulus {_interval(v['youngs_modulus_gpa'], 'GPa')}; "
        f"Poisson's ratio {v['poisson_ratio'][0]:.2f}, K/G {v['pugh_ratio'][0]:.2g}",
        f"  Hardness {_interval(v['hardness_tian_gpa'], 'GPa')}, "
        f"yield strength {_number(v['yield_strength_gpa'][0])} GPa",
        f"  Contact models at the median moduli: elastic {_number(report.elastic_mpa)} MPa, plastic "
        f"{_number(report.plastic_mpa)} MPa; the smaller governs",
        f"  Solid contact, moved by the law on published pressures: {_interval(report.solid, 'MPa')}",
    ]
    if "glass_transition_k" in v:
        lines += [
            f"  Glass transition {_interval(v['glass_transition_k'], 'K')}, mostly from: {report.reference}",
            f"  P(it flows at {asked.temperature_c:g} C) = {report.p_flow:.2f}; modulus after an hour "
            f"{_interval(v['acting_modulus_gpa'], 'GPa')}",
        ]
    lines.append(f"  Pressure mostly computed from the modulus of: {report.modulus}")
    if not asked.alkali_metal:
        lines.append(
            f"  Beside lithium or sodium metal, which creeps: {_interval(report.with_alkali_metal, 'MPa')}"
        )
    lines += [
        "",
        "Pellet",
        f"  Keeps {_interval(v['conductivity_kept'])} of its conductivity at "
        f"{asked.working_pressure_mpa:g} MPa: {_interval(v['sigma_at_pressure_ms_cm'], 'mS/cm')} at 25 C",
        f"  Pressed to 90% density with {_interval(v['fabrication_pressure_mpa'], 'MPa')}",
    ]
    if report.applicability < 0.05:
        lines += [
            "",
            f"Caution: extrapolation (applicability {report.applicability:.2f}); measure before trusting it.",
        ]
    return lines + _advice(report)


def _advice(report: PressureReport) -> list[str]:
    """Return what to do where the target is more probably missed than met."""
    if report.p_below_target >= 0.5:
        return []
    lines = [
        "",
        f"What brought comparable cells to {report.target_mpa:g} MPa or below (reported, not predicted)",
    ]
    for strategy in report.strategies[:SHOWN_STRATEGIES]:
        kind = strategy.kind or "electrolyte not stated"
        warm = "" if np.isnan(strategy.temperature_c) else f", at {strategy.temperature_c:g} C"
        lines.append(f"  {strategy.stack_pressure_mpa:g} MPa: {strategy.strategy} ({kind}{warm})")
        lines += _wrapped(strategy.source)
    more = len(report.strategies) - SHOWN_STRATEGIES
    if more > 0:
        lines.append(f"  and {more} more, with --json or in `strategies` of the report")
    lines += ["Functional layers and interphases"]
    for layer in report.layers:
        stated = "" if np.isnan(layer.stack_pressure_mpa) else f", {layer.stack_pressure_mpa:g} MPa"
        lines.append(f"  {layer.name} ({layer.where}{stated})")
        lines += _wrapped(layer.source)
    return lines


def _wrapped(text: str) -> list[str]:
    return wrap(text, _WIDTH, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)


def plot_pressure(reports: Sequence[PressureReport], path: Path | str) -> Path:
    """Draw P(required pressure below p) for each report, with the target, into an image file (png, svg, pdf).

    Raises:
        InputError: the format or the place cannot be used.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    path = Path(path)
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    kinds = canvas.get_supported_filetypes()
    if path.suffix.lstrip(".").lower() not in kinds:
        raise InputError(f"the plot {path} has no known format; end its name in .png, .svg or .pdf")
    axes = figure.add_subplot()
    pressure = np.logspace(-3, 4, 281)
    for number, report in enumerate(reports):
        below = [float(report.distribution.probability_below(p)[0]) for p in pressure]
        label = (
            f"{report.formula} {report.phase}, P(< {report.target_mpa:g} MPa) = {report.p_below_target:.2f}"
        )
        axes.plot(pressure, below, color=f"C{number % 10}", label=label)
        solid = replace(report.distribution, flow_weight=np.zeros_like(report.distribution.flow_weight))
        if report.p_flow > 0.01:
            firm = [float(solid.probability_below(p)[0]) for p in pressure]
            axes.plot(
                pressure, firm, color=f"C{number % 10}", linestyle="--", label="the same, if it does not flow"
            )
    if reports:
        axes.axvline(reports[0].target_mpa, color="0.5", linewidth=1)
        axes.legend(fontsize="small", frameon=False)
    column = COLUMNS["stack_pressure_mpa"]
    axes.set(
        xscale="log",
        xlabel=f"{column.label} ({column.unit})",
        ylabel="P(required pressure below)",
        ylim=(0, 1),
    )
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise InputError(
            f"the plot {path} cannot be written ({error.strerror or error}); name another place"
        ) from error
    return path
