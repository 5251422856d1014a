"""The next experiments: a diverse batch from a finished screening, with recipes and reasons."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from softlyte.datasets.columns import PHASES, PROPOSAL_COLUMNS
from softlyte.datasets.errors import UserError
from softlyte.datasets.formulas import Compositions
from softlyte.datasets.own.store import load_own
from softlyte.models.neighbour_layers import joined
from softlyte.models.predictor import Predictor
from softlyte.models.residual_process import ResidualProcess
from softlyte.screening.batch import Batch, choose_batch, informed, success_given
from softlyte.screening.costing import Costing, default_costing
from softlyte.screening.decision import Assessment, joint_probability
from softlyte.screening.evaluate import PropertyPredictor, default_hull, evaluate, result_table
from softlyte.screening.export import atomic_text, check_file_place, write_csv
from softlyte.screening.price_list import PriceError
from softlyte.screening.quotation import BATCH_G, masses_text
from softlyte.screening.report.run import load_run
from softlyte.screening.targets import Target, Targets

PROPOSALS_FILE, RECORD_FILE = "proposals.csv", "proposals.json"
POOL = 1000
"""Best candidates that a batch is chosen from."""

TELLS = 0.1
"""Share of a candidate's variance that a measurement must remove to inform it."""

Array = NDArray[np.float64]


class ProposalError(UserError):
    """A batch that cannot be proposed; the message says what stands in the way."""


@dataclass(frozen=True)
class Proposals:
    """A proposed batch.

    Attributes:
        table: PROPOSAL_COLUMNS, in the order of making.
        file: where it was written, None if it was not.
        left_out: reason -> candidates that were not considered.
    """

    table: pd.DataFrame
    file: Path | None
    left_out: dict[str, int]


def read_precursors(given: Sequence[str] | Path | str) -> list[str]:
    """Return formulas of precursors: a list, a text "LiCl, AlCl3", or a file with one a line or comma.

    Raises ProposalError if a file is empty or cannot be read.
    """
    if isinstance(given, Path | str):
        path = Path(given)
        if path.is_file():
            try:
                text = path.read_text(encoding="utf-8-sig")
            except (OSError, UnicodeDecodeError) as error:
                raise ProposalError(f"{path} cannot be read ({error}); give a list of formulas") from error
        elif path.suffix in (".txt", ".csv") or "/" in str(given):
            raise ProposalError(f"there is no file {path}; check the path or list the precursors")
        else:
            text = str(given)
        lines = [line.split("#")[0] for line in text.replace(",", "\n").splitlines()]
        names = [line.strip() for line in lines if line.strip() and line.strip().casefold() != "formula"]
    else:
        names = [name.strip() for name in given if name.strip()]
    if not names:
        raise ProposalError("no precursor is named; give formulas such as LiCl,AlCl3 or a file of them")
    return names


def propose(
    folder: Path | str,
    budget: int = 8,
    precursors: Sequence[str] | Path | str | None = None,
    max_cost: float | None = None,
    own_data: Path | str | None = None,
    weights: Path | str | None = None,
    costing: Costing | None = None,
    device: str = "auto",
    pool: int = POOL,
    batch_g: float = BATCH_G,
    seed: int = 0,
    out: Path | str | None = None,
    predictor: PropertyPredictor | None = None,
) -> Proposals:
    """Propose the next experiments from the folder of a finished screening.

    Of the best candidates that can be made, that batch is chosen that most probably holds one that meets all
    targets (`softlyte.screening.batch`). Each row says why it was chosen, what would be learned, and how to
    weigh in.

    Args:
        folder: that `softlyte screen` wrote.
        budget: number of experiments.
        precursors: at hand: formulas, a text, or a file; None for all priced ones.
        max_cost: largest precursor cost, USD/kg.
        own_data: folder of own measurements: what was measured is not proposed again.
        weights: to predict with, such as adapted ones; None for the shipped ones.
        costing: prices and route; None for the shipped prices.
        device: "auto", "cpu" or "cuda".
        pool: best candidates to choose from.
        batch_g: grams of product that a recipe is for.
        seed: of the draws.
        out: file to write; None for proposals.csv in the folder.
        predictor: an ensemble already loaded, in place of `weights`.

    Raises:
        UserError: the folder, an argument, or the precursors leave nothing to propose.
    """
    for name, value in (("budget", budget), ("pool", pool), ("batch", batch_g)):
        if not value > 0:
            raise ProposalError(f"the {name} is {value:g}; give a number above 0")
    if max_cost is not None and not max_cost > 0:
        raise ProposalError(f"the largest cost is {max_cost:g} USD/kg; give a number above 0")
    run = load_run(folder)
    file = run.folder / PROPOSALS_FILE if out is None else Path(out)
    check_file_place(file)
    reckoned = default_costing() if costing is None else costing
    at_hand = None if precursors is None else read_precursors(precursors)
    if at_hand is not None:
        try:
            reckoned = replace(reckoned, prices=reckoned.prices.only(at_hand))
        except PriceError as error:
            raise ProposalError(f"precursors at hand: {error}") from error
    candidates, left_out = _makeable(run.candidates, reckoned, max_cost, own_data, at_hand is not None)
    if not len(candidates):
        why = "; ".join(f"{count} {reason}" for reason, count in left_out.items()) or "the run ranked none"
        raise ProposalError(f"no candidate of {run.folder} can be proposed ({why}); loosen a limit")
    candidates = candidates.head(pool).reset_index(drop=True)
    model = Predictor.load(weights, device) if predictor is None else predictor
    compositions = Compositions.from_formulas(candidates["formula"])
    phase = np.array([PHASES.index(p) for p in candidates["phase"]], np.uint8)
    evaluation = evaluate(
        compositions, phase, model, default_hull(), None, run.targets.working_conditions(), reckoned
    )
    probability = joint_probability(evaluation.assessment, run.targets)
    process = _process(model)
    covariance = process.common_covariance(compositions, phase.astype(np.int64))
    success = success_given(probability, covariance, seed=seed)
    batch = choose_batch(success, budget)
    removed = informed(covariance, batch.chosen, 1.0 - process.share)
    rows = batch.chosen
    predicted = result_table(evaluation, run.targets).iloc[rows].reset_index(drop=True)
    predicted["rank"] = candidates["rank"].to_numpy()[rows]
    table = _table(predicted, batch, removed, evaluation.assessment, run.targets, candidates)
    routes = reckoned.routes(compositions[rows])
    table["batch_recipe"] = [masses_text(route.batch(batch_g)) for route in routes]
    table["byproducts"] = [masses_text(route.leaving(batch_g)) for route in routes]
    table = table[list(PROPOSAL_COLUMNS)]
    write_csv(file, table)
    _write_record(
        file,
        {
            "command": "propose",
            "run": str(run.folder),
            "budget": budget,
            "precursors": at_hand,
            "max_cost_usd_kg": max_cost,
            "own_data": None if own_data is None else str(own_data),
            "pool": pool,
            "batch_g": batch_g,
            "seed": seed,
            "weights_sha256": model.weights_sha256,
            "costing": reckoned.record(),
            "share": process.share,
            "reach": process.reach,
            "left_out": left_out,
        },
    )
    return Proposals(table, file, left_out)


def _makeable(
    candidates: pd.DataFrame,
    costing: Costing,
    max_cost: float | None,
    own_data: Path | str | None,
    of_these_alone: bool,
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the candidates that can be made within the limits, best first, and how many fell and why."""
    left_out: dict[str, int] = {}
    kept = candidates.sort_values("rank", kind="stable").reset_index(drop=True)

    def keep(mask: NDArray[np.bool_], reason: str) -> None:
        nonlocal kept
        if (~mask).any():
            left_out[reason] = int((~mask).sum())
        kept = kept[mask].reset_index(drop=True)

    if own_data is not None:
        own = load_own(own_data)
        measured = set(zip(_keys(own["formula"]), own["phase"], strict=True))
        pairs = zip(_keys(kept["formula"]), kept["phase"], strict=True)
        keep(np.array([pair not in measured for pair in pairs], bool), "measured already")
    if len(kept):
        cost = costing.cost(Compositions.from_formulas(kept["formula"])).usd_kg
        missing = "not made of the precursors at hand" if of_these_alone else "without a priced recipe"
        keep(~np.isnan(cost), missing)
        if max_cost is not None:
            dear = cost[~np.isnan(cost)] > max_cost
            keep(~dear, f"above {max_cost:g} USD/kg")
    return kept, left_out


def _keys(formulas: pd.Series) -> list[bytes]:
    return [key.tobytes() for key in Compositions.from_formulas(formulas).keys()]  # noqa: SIM118


def _process(model: PropertyPredictor) -> ResidualProcess:
    """Return how the errors of neighbours hang together: by the last layer that knows conductivities.

    Layers of some members alone, one for each fold of a training, are taken together.
    """
    adaptation = getattr(model, "adaptation", None)
    layers = [layer for layer in adaptation.layers if "sigma_s_cm" in layer.processes] if adaptation else []
    if not layers:
        return ResidualProcess.unmeasured()
    if layers[-1].fold is None:
        return layers[-1].processes["sigma_s_cm"]
    return joined([layer.processes["sigma_s_cm"] for layer in layers if layer.fold is not None])


def _table(
    predicted: pd.DataFrame,
    batch: Batch,
    removed: Array,
    assessment: Assessment,
    targets: Targets,
    candidates: pd.DataFrame,
) -> pd.DataFrame:
    """Return the columns of the batch but its recipes."""
    judged = [target for target in targets.target if assessment.has(target)]
    met = np.stack([assessment.probability(target)[batch.chosen] for target in judged])  # [T, B]
    worst = met.argmin(axis=0)
    table = predicted.assign(
        order=np.arange(1, len(batch.chosen) + 1),
        p_any=batch.probability,
        gain=batch.gain,
        limiting_target=[str(judged[t]) for t in worst],
        p_limiting_target=met.min(axis=0),
    )
    told = removed >= TELLS
    told[np.arange(len(batch.chosen)), batch.chosen] = False
    table["informs"] = told.sum(axis=1)
    table["why"] = [_why(table, row) for row in range(len(table))]
    table["learned"] = [
        _learned(removed[row], told[row], candidates, judged[worst[row]]) for row in range(len(table))
    ]
    return table


def _why(table: pd.DataFrame, row: int) -> str:
    one = table.iloc[row]
    own, gain = float(one["p_all_targets"]), float(one["gain"])
    if row == 0:
        return f"most probable to meet all targets ({own:.2g})"
    kept = gain / own if own > 0 else 0.0
    reason = "it fails for other reasons than" if kept > 0.8 else "in part it fails together with"
    return f"adds {gain:.2g} successes, {kept:.0%} of its own probability {own:.2g}: {reason} those before it"


def _learned(removed: Array, told: NDArray[np.bool_], candidates: pd.DataFrame, limit: Target) -> str:
    if not told.any():
        return f"whether {limit} holds for it; no other candidate is near enough to be told of"
    place = int(np.where(told, removed, 0.0).argmax())
    nearest, phase = candidates["formula"].iloc[place], candidates["phase"].iloc[place]
    usual, most = removed[told].mean(), removed[place]
    return (
        f"whether {limit} holds, for it and {int(told.sum())} neighbours: on average {usual:.0%} of the "
        f"variance of their errors, {most:.0%} for {nearest} {phase}"
    )


def _write_record(file: Path, content: dict[str, Any]) -> None:
    with atomic_text(
        file.with_name(RECORD_FILE) if file.name == PROPOSALS_FILE else file.with_suffix(".json")
    ) as f:
        json.dump(content, f, indent=1)
        f.write("\n")
