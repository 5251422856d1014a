"""Cross-validate crystal networks: `softlyte train` with a configuration that has a [structures] table."""

from __future__ import annotations

import io
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from softlyte.datasets.formulas import symbols
from softlyte.datasets.writing import write_bytes
from softlyte.models.checkpoint import load_state, load_strictly, save_state
from softlyte.models.config import ConfigError
from softlyte.models.crystal_config import CrystalTrainingConfig, load_crystal_config
from softlyte.models.crystal_data import CrystalRows, load_crystal_rows
from softlyte.models.crystal_fit import fit_crystal_network, predict_crystals
from softlyte.models.crystal_network import crystal_network
from softlyte.models.crystal_tasks import CRYSTAL_COLUMNS, CRYSTAL_TASKS
from softlyte.models.evaluation import FEWEST_ROWS, HALOGENS
from softlyte.models.predictor import choose_device
from softlyte.models.run_folder import run_folder
from softlyte.models.training_data import Standardisation

METRICS, OUT_OF_FOLD, ROWS = "metrics.json", "out_of_fold.npz", "rows.json"
EVALUATED = "evaluated.safetensors"
_LAPLACE_SD = 2.0**0.5  # standard deviation over scale


@dataclass(frozen=True)
class CrystalTrainResult:
    """What a cross-validation leaves.

    Attributes:
        finished: False if the time ran out first; the same call goes on.
        metrics: by task and subset, as in metrics.json.
    """

    finished: bool
    metrics: dict[str, Any]


def train_crystals(
    config: Path | str | CrystalTrainingConfig,
    out: Path | str,
    device: str = "auto",
    seed: int | None = None,
    max_hours: float | None = None,
    progress: bool = True,
) -> CrystalTrainResult:
    """Train a network for each fold without that fold and predict the fold; a second call continues.

    The folder receives config.json before work starts; rows.json (rows used and left out, by table and
    reason, structures that could not be read); a folder per fold with its stages and
    evaluated.safetensors; out_of_fold.npz (mean and sd [N, tasks] in transformed units, label [N, tasks],
    fold, source and position [N] of every row) and metrics.json.

    Args:
        config: TOML path or configuration.
        out: run folder.
        device: "auto", "cpu" or "cuda".
        seed: replaces the configuration's seed.
        max_hours: time for the training.
        progress: show how it gets on.

    Raises:
        ConfigError: the configuration is not usable, the folder holds another run, or another process works
            in it.
        TrainingDataError: a table of structures is missing, unreadable or empty.
        DeviceError: CUDA is not there.
    """
    deadline = None if max_hours is None else time.monotonic() + 3600 * max_hours
    resolved = config if isinstance(config, CrystalTrainingConfig) else load_crystal_config(config)
    if seed is not None:
        resolved = resolved.model_copy(update={"seed": seed})
    accelerator = choose_device(device).type
    if accelerator == "cpu" and resolved.training.precision != "32-true":
        raise ConfigError(
            f"precision {resolved.training.precision} needs CUDA; use 32-true or a machine with a GPU"
        )
    with run_folder(Path(out), resolved.model_dump_json(indent=1) + "\n") as held:
        return _trained(resolved, held.path, accelerator, deadline, progress)


def _trained(
    resolved: CrystalTrainingConfig, folder: Path, accelerator: str, deadline: float | None, progress: bool
) -> CrystalTrainResult:
    """Train in a folder that this process holds; arguments as for `train_crystals`."""
    data = resolved.structures
    rows = load_crystal_rows(
        data.tables, resolved.graph.featurizer(), data.folds, data.split_seed, data.processes
    )
    write_bytes(folder / ROWS, (json.dumps(_rows_read(rows), indent=1) + "\n").encode())
    standard = rows.standardisation()
    mean = np.empty((len(rows), len(CRYSTAL_TASKS)))
    sd = np.empty_like(mean)
    for fold in range(data.folds):
        place = folder / f"fold_{fold}"
        finished = place / EVALUATED
        if not finished.is_file():
            state = fit_crystal_network(
                resolved,
                rows,
                rows.fold != fold,
                place,
                resolved.seed * 1000 + fold,
                standard,
                accelerator=accelerator,
                threads=torch.get_num_threads(),
                deadline=deadline,
                progress=progress,
            )
            if state is None:
                return CrystalTrainResult(False, {})
            save_state(finished, state)
        network = crystal_network(resolved.network, resolved.graph)
        load_strictly(network, load_state(finished), str(finished))
        held_out = np.flatnonzero(rows.fold == fold)
        network.to(accelerator)
        mean[held_out], sd[held_out] = _in_units(*predict_crystals(network, rows, held_out), standard)
    label = rows.targets[:, list(CRYSTAL_COLUMNS)]
    _save_out_of_fold(folder / OUT_OF_FOLD, rows, mean, sd, label)
    metrics = crystal_metrics(rows, mean, label)
    write_bytes(folder / METRICS, (json.dumps(metrics, indent=1) + "\n").encode())
    return CrystalTrainResult(True, metrics)


def crystal_metrics(
    rows: CrystalRows, mean: NDArray[np.float64], label: NDArray[np.float64]
) -> dict[str, Any]:
    """Return rows, mae, rmse and spearman by task and subset (all, Li/Na halides), in transformed units.

    Args:
        rows: N crystals.
        mean: [N, len(CRYSTAL_TASKS)] predictions of networks that have not seen the row's formula.
        label: [N, len(CRYSTAL_TASKS)], NaN where there is none.
    """
    number = {symbol: z for z, symbol in enumerate(symbols())}
    z = rows.compositions.atomic_numbers
    mobile = np.isin(z, [number["Li"], number["Na"]]).any(axis=1)
    halogen = np.isin(z, [number[h] for h in HALOGENS]).any(axis=1)
    subsets = {"all": np.ones(len(rows), dtype=bool), "Li/Na halides": mobile & halogen}
    out: dict[str, Any] = {}
    for column, task in enumerate(CRYSTAL_TASKS):
        for name, mask in subsets.items():
            chosen = mask & ~np.isnan(label[:, column])
            if chosen.sum() < FEWEST_ROWS:
                continue
            p, y = mean[chosen, column], label[chosen, column]
            out.setdefault(task, {})[name] = {
                "rows": int(chosen.sum()),
                "mae": float(np.abs(p - y).mean()),
                "rmse": float(np.sqrt(((p - y) ** 2).mean())),
                "spearman": float(spearmanr(p, y).statistic),
            }
    return out


def _in_units(
    mean: torch.Tensor, log_scale: torch.Tensor, standard: Standardisation
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return median and standard deviation in transformed units from standardised outputs."""
    columns = list(CRYSTAL_COLUMNS)
    centre, spread = standard.mean[columns], standard.sd[columns]
    scale = np.exp(log_scale.numpy().astype(np.float64))
    return mean.numpy().astype(np.float64) * spread + centre, _LAPLACE_SD * scale * spread


def _rows_read(rows: CrystalRows) -> dict[str, Any]:
    used = np.bincount(rows.source, minlength=len(rows.sources))
    return {
        name: {
            "used": int(used[i]),
            "left_out": rows.left_out[name],
            "unusable_structures": rows.unread[name],
        }
        for i, name in enumerate(rows.sources)
    }


def _save_out_of_fold(
    path: Path,
    rows: CrystalRows,
    mean: NDArray[np.float64],
    sd: NDArray[np.float64],
    label: NDArray[np.float64],
) -> None:
    """Write the out-of-fold predictions atomically, in single precision."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        mean=mean.astype(np.float32),
        sd=sd.astype(np.float32),
        label=label.astype(np.float32),
        fold=rows.fold,
        source=rows.source,
        position=rows.position,
    )
    write_bytes(path, buffer.getvalue())
