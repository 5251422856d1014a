"""What a search leaves in its folder: a table of trials, the front's configurations, plots."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from plotly.offline import get_plotlyjs

from softlyte.datasets.writing import write_bytes
from softlyte.models.config import TrainingConfig
from softlyte.models.tuning_config import with_values

if TYPE_CHECKING:
    import optuna

OBJECTIVES = ("error", "calibration error")
FEWEST_FOR_IMPORTANCE = 4
"""With fewer finished trials nothing can be said of what matters."""

TRIALS, FRONT, PLOTS = "trials.csv", "front", "plots"


@dataclass(frozen=True)
class TunedTrial:
    """One configuration that was trained to the end.

    Attributes:
        number: of the trial.
        error: mean absolute error over the targets, each in standard deviations of its labels.
        calibration_error: mean gap between stated and measured coverage at 50, 80, 90 and 95%.
        parameters: the searched keys and their values.
        config: file of the whole training configuration, for `softlyte train`.
    """

    number: int
    error: float
    calibration_error: float
    parameters: dict[str, Any]
    config: Path


@dataclass(frozen=True)
class TuneResult:
    """What a search found.

    Attributes:
        front: trials that no other beats in both objectives, the least error first.
        counts: trials by state, such as {"complete": 20, "pruned": 30}.
    """

    front: list[TunedTrial]
    counts: dict[str, int]


def write_report(study: optuna.Study, training: TrainingConfig, folder: Path) -> TuneResult:
    """Write trials.csv, front/trial_N.json (for `softlyte train`) and plots/*.html; return the front."""
    trials = study.get_trials(deepcopy=False)
    states = [t.state.name.lower() for t in trials]
    columns: dict[str, list[Any]] = {
        "number": [t.number for t in trials],
        "state": states,
        "error": [t.values[0] if t.values else None for t in trials],
        "calibration_error": [t.values[1] if t.values else None for t in trials],
        "seconds": [t.duration.total_seconds() if t.duration else None for t in trials],
    }
    keys = sorted({key for t in trials for key in t.params})
    table = pd.DataFrame(columns | {key: [t.params.get(key) for t in trials] for key in keys})
    write_bytes(folder / TRIALS, table.to_csv(index=False).encode())
    front = []
    (folder / FRONT).mkdir(exist_ok=True)
    for old in (folder / FRONT).glob("trial_*.json"):
        old.unlink()
    for trial in sorted(study.best_trials, key=lambda t: t.values):
        path = folder / FRONT / f"trial_{trial.number:04d}.json"
        config = with_values(training, trial.params)
        write_bytes(path, (config.model_dump_json(indent=1) + "\n").encode())
        error, calibration_error = trial.values
        front.append(TunedTrial(trial.number, error, calibration_error, trial.params, path))
    _plots(study, folder / PLOTS)
    return TuneResult(front, dict(Counter(states)))


def _plots(study: optuna.Study, folder: Path) -> None:
    from optuna import visualization
    from optuna.trial import TrialState

    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not complete:
        return
    folder.mkdir(exist_ok=True)
    figures = {"pareto": visualization.plot_pareto_front(study, target_names=list(OBJECTIVES))}
    for place, name in enumerate(OBJECTIVES):

        def value(trial: optuna.trial.FrozenTrial, place: int = place) -> float:
            return float(trial.values[place])

        short = name.replace(" ", "_")
        figures[f"history_{short}"] = visualization.plot_optimization_history(
            study, target=value, target_name=name
        )
        varied = {key for t in complete for key in t.params if t.params[key] != complete[0].params.get(key)}
        if varied and len(complete) >= FEWEST_FOR_IMPORTANCE:
            with warnings.catch_warnings():
                # Importance for reaching low values: what is wanted here.
                warnings.filterwarnings("ignore", "PedAnovaImportanceEvaluator")
                figures[f"importance_{short}"] = visualization.plot_param_importances(
                    study, target=value, target_name=name
                )
    # One copy of plotly.js beside the pages: they open without a network.
    write_bytes(folder / "plotly.min.js", get_plotlyjs().encode())
    for name, figure in figures.items():
        write_bytes(folder / f"{name}.html", figure.to_html(include_plotlyjs="directory").encode())
