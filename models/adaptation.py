"""What measured rows add to an ensemble without retraining its networks: layers of residual processes.

Each property of a layer has a residual process (models.residual_process) that moves and narrows the
predictions near the measured materials and leaves the others as they are. The layer `own` comes from a
laboratory's measurements (`adapt`), others from a training (models.neighbour_layers). Layers are applied in
order, each to what the ones before it say, and are stored beside the weights as tensors and JSON.
"""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.special import ndtri

from softlyte.datasets.columns import INTERVAL_LEVEL, PHASES
from softlyte.datasets.documents import read_json
from softlyte.datasets.formulas import Compositions
from softlyte.datasets.own.store import default_folder, load_own, state_sha256
from softlyte.datasets.writing import write_bytes
from softlyte.models.checkpoint import (
    CARD,
    PRETRAINED,
    WEIGHTS,
    CheckpointError,
    file_sha256,
    load_state,
    save_state,
)
from softlyte.models.own_rows import TARGET_OF, transformed
from softlyte.models.predictions import PropertyPrediction
from softlyte.models.residual_process import ResidualProcess
from softlyte.models.tasks import YOUNGS_MODULUS
from softlyte.models.training_data import ROOM_C, TrainingDataError

OWN = "own"
"""Name of the layer that a laboratory's measurements make."""

ADAPTATION, TENSORS = "adaptation.json", "adaptation.safetensors"
FORMAT_VERSION = 2
READABLE = (1, 2)
"""Version 1 knows no layers of some members alone."""

FEWEST_ROWS = 3
"""A property with fewer measured values is left as it is."""

ENOUGH_TO_JUDGE = 5
"""From this many materials on, a property whose left-out rows come out worse is left as it is."""

NOT_ADAPTED = ("oxidation_v", "reduction_v")
"""Measured limits are kinetic, the predicted ones of equilibrium: the one does not mend the other."""

ADAPTED = tuple(column for column in TARGET_OF if column not in NOT_ADAPTED)


@dataclass(frozen=True)
class Check:
    """What leaving each material out in turn says of one property, in the transformed unit.

    Attributes:
        property: name as in the predictions.
        rows, materials: that were measured.
        mae_before, mae_after: of the ensemble as it was, and of the adapted one without the material's rows.
        coverage_before, coverage_after: share of rows in their 90% interval.
        share, reach, widening: of the process.
        used: False where the process made the left-out rows worse and is not kept.
    """

    property: str
    rows: int
    materials: int
    mae_before: float
    mae_after: float
    coverage_before: float
    coverage_after: float
    share: float
    reach: float
    widening: float
    used: bool


@dataclass(frozen=True)
class Layer:
    """Residual processes by property, and where they come from.

    Attributes:
        name: OWN for a laboratory's measurements.
        processes: by the property's name in the predictions.
        record: checksum of the measurements, and the checks; plain JSON.
        fold: (k, K) for a layer of the members k, k + K, ... alone; None for one of all members.
    """

    name: str
    processes: Mapping[str, ResidualProcess]
    record: Mapping[str, Any]
    fold: tuple[int, int] | None = None

    def apply(
        self,
        properties: Mapping[str, PropertyPrediction],
        compositions: Compositions,
        phase: NDArray[np.integer],
    ) -> dict[str, PropertyPrediction]:
        """Return the properties of N materials moved and narrowed by what was measured near them.

        A residual of Young's modulus moves the bulk and the shear modulus alike, which leaves Poisson's ratio
        as it was.
        """
        out = dict(properties)
        members = slice(None) if self.fold is None else slice(self.fold[0], None, self.fold[1])
        for name, process in self.processes.items():
            z, factor = process.predict(compositions, phase)
            part = _members(out[name], members)
            # The spread of few members of an ensemble is that of as many drawn apart.
            shift = z * (part.sd() if self.fold is None else _sample_sd(part))
            out[name] = _with_members(out[name], members, moved(part, shift).widened(factor))
            if name == YOUNGS_MODULUS:
                for modulus in ("bulk_modulus_gpa", "shear_modulus_gpa"):
                    if modulus not in self.processes:
                        some = moved(_members(out[modulus], members), shift)
                        out[modulus] = _with_members(out[modulus], members, some)
        return out


@dataclass(frozen=True)
class Adaptation:
    """Layers in the order in which they are applied.

    Attributes:
        layers: see `Layer`.
        tensors_sha256: of the file that they were read from; "" for layers that were never written.
    """

    layers: tuple[Layer, ...]
    tensors_sha256: str = ""

    def apply(
        self,
        properties: Mapping[str, PropertyPrediction],
        compositions: Compositions,
        phase: NDArray[np.integer],
    ) -> dict[str, PropertyPrediction]:
        """Return the properties of N materials after every layer."""
        out = dict(properties)
        for layer in self.layers:
            out = layer.apply(out, compositions, phase)
        return out

    def without(self, name: str) -> Adaptation:
        """Return the layers of other names."""
        return Adaptation(tuple(layer for layer in self.layers if layer.name != name))


def _members(prediction: PropertyPrediction, members: slice) -> PropertyPrediction:
    return replace(
        prediction,
        member_mean=prediction.member_mean[members],
        member_sd=prediction.member_sd[members],
    )


def _with_members(
    prediction: PropertyPrediction, members: slice, some: PropertyPrediction
) -> PropertyPrediction:
    mean, sd = prediction.member_mean.copy(), prediction.member_sd.copy()
    mean[members], sd[members] = some.member_mean, some.member_sd
    return replace(prediction, member_mean=mean, member_sd=sd)


def _sample_sd(prediction: PropertyPrediction) -> NDArray[np.float64]:
    """Return the total standard deviation with the unbiased variance between members, [N]."""
    count = len(prediction.member_mean)
    between = prediction.member_mean.var(axis=0) * count / max(count - 1, 1)
    return np.asarray(np.sqrt((prediction.member_sd**2).mean(axis=0) + between))


def moved(prediction: PropertyPrediction, shift: NDArray[np.float64]) -> PropertyPrediction:
    """Return a prediction with every member's mean moved by [N], in the transformed unit."""
    return replace(prediction, member_mean=prediction.member_mean + shift)


def adapt(
    own_data: Path | str | None = None,
    out: Path | str = "adapted-weights",
    weights: Path | str | None = None,
    device: str = "auto",
) -> tuple[Path, list[Check], list[str]]:
    """Adapt weights to own measurements and write them, with the adaptation beside them, into a folder.

    Args:
        own_data: folder of own measurements; None for the default one.
        out: folder for the weights; give it as `weights` elsewhere.
        weights: folder of the weights to adapt; None for the shipped ones. An earlier adaptation to own
            measurements is replaced, not added to.
        device: where to compute.

    Returns:
        the folder, a check for each property, and remarks about what was left out and why.

    Raises:
        UserError: measurements, weights or folder cannot be used, or no property has enough values.
    """
    from softlyte.models.predictor import Predictor

    folder = default_folder() if own_data is None else Path(own_data)
    base, place = PRETRAINED if weights is None else Path(weights), Path(out)
    if place.resolve() in (PRETRAINED.resolve(), base.resolve()):
        raise CheckpointError(f"{place} holds the weights to adapt; give another folder with --out")
    table = load_own(folder)
    loaded = Predictor.load(base, device)
    kept = Adaptation(()) if loaded.adaptation is None else loaded.adaptation.without(OWN)
    predictor = copy.copy(loaded)
    predictor.adaptation = kept
    processes: dict[str, ResidualProcess] = {}
    checks: list[Check] = []
    remarks = _left_out(table)
    for column in ADAPTED:
        known = table[column].notna()
        if column == "log10_sigma_s_cm":
            known &= ~table["censored"]
        if column == "youngs_modulus_gpa":
            known &= table["bulk_modulus_gpa"].isna() | table["shear_modulus_gpa"].isna()
        if not known.any():
            continue
        if known.sum() < FEWEST_ROWS:
            remarks.append(
                f"{column}: {known.sum()} values, at least {FEWEST_ROWS} are needed; left as it is"
            )
            continue
        process, check = _fit(predictor, table[known].reset_index(drop=True), column)
        checks.append(check)
        if check.used:
            processes[check.property] = process
    if not processes:
        why = "; ".join(remarks) or "rows left out came out worse"
        raise TrainingDataError(f"nothing in {folder} adapts a property ({why}); add more measurements")
    record = {
        "own_data_sha256": state_sha256(folder),
        "versions": sorted(int(v) for v in table["version"].unique()),
        "checks": [asdict(check) for check in checks],
        "remarks": remarks,
    }
    layers = (*kept.layers, Layer(OWN, processes, record))
    _copy(base, place)
    save_adaptation(place, Adaptation(layers), predictor.card["weights_sha256"])
    return place, checks, remarks


def _fit(predictor: Any, table: pd.DataFrame, column: str) -> tuple[ResidualProcess, Check]:
    """Return the process of one property and what its left-out rows say."""
    name = TARGET_OF[column]
    compositions = Compositions.from_formulas(table["formula"])
    phase = np.array([PHASES.index(p) for p in table["phase"]], np.int64)
    celsius = table["temperature_c"].fillna(ROOM_C).to_numpy(np.float64)
    mean, sd = np.empty(len(table)), np.empty(len(table))
    for one in np.unique(celsius):
        rows = np.flatnonzero(celsius == one)
        said = predictor.predict(compositions[rows], phase[rows], temperature_c=float(one))[name]
        mean[rows], sd[rows] = said.mean(), said.sd()
    value, spread = transformed(table, column)
    z = (value - mean) / sd
    process = ResidualProcess.fit(compositions, phase, z, spread / sd)
    return process, checked(name, process, z, sd)


def checked(name: str, process: ResidualProcess, z: NDArray[np.float64], sd: NDArray[np.float64]) -> Check:
    """Return what a process says of its own rows, each material left out in turn.

    Args:
        name: of the property.
        process: fitted to N rows.
        z: [N] standardised residuals.
        sd: [N] standard deviations that the ensemble states.
    """
    left_mean, left_sd = process.leave_one_out()
    half = ndtri(0.5 + INTERVAL_LEVEL / 2)
    before, after = np.abs(z) * sd, np.abs(z - left_mean) * sd
    materials = len(np.unique(process.compositions.keys()))
    worse = materials >= ENOUGH_TO_JUDGE and after.mean() > before.mean()
    return Check(
        name,
        len(z),
        materials,
        float(before.mean()),
        float(after.mean()),
        float((np.abs(z) <= half).mean()),
        float((np.abs(z - left_mean) <= half * left_sd).mean()),
        process.share,
        process.reach,
        process.widening,
        not worse,
    )


def _left_out(table: pd.DataFrame) -> list[str]:
    out = []
    if table["censored"].any():
        out.append(f"{int(table['censored'].sum())} conductivities are upper bounds and do not adapt")
    limits = int(table[list(NOT_ADAPTED)].notna().any(axis=1).sum())
    if limits:
        out.append(f"{limits} rows hold measured limits of the window, which are kinetic and do not adapt")
    pressures = int(table["stack_pressure_mpa"].notna().sum())
    if pressures:
        out.append(f"{pressures} rows hold stack pressures, which are of cells and do not adapt")
    return out


def _copy(base: Path, out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in (ADAPTATION, TENSORS):
            (out / name).unlink(missing_ok=True)
        for name in (WEIGHTS, CARD):
            temporary = out / f".{name}.tmp"
            shutil.copyfile(base / name, temporary)
            temporary.replace(out / name)
    except OSError as error:
        raise CheckpointError(f"the folder {out} cannot be written ({error}); give another --out") from error


def save_adaptation(folder: Path, adaptation: Adaptation, weights_sha256: str) -> None:
    """Write adaptation.safetensors and adaptation.json beside the weights that have this checksum."""
    tensors: dict[str, torch.Tensor] = {}
    layers = []
    for layer in adaptation.layers:
        processes = {}
        for name, process in layer.processes.items():
            arrays, processes[name] = process.to_parts()
            tensors |= {f"{layer.name}.{name}.{k}": torch.from_numpy(np.array(v)) for k, v in arrays.items()}
        content = {"name": layer.name, "processes": processes, "record": dict(layer.record)}
        layers.append(content | ({} if layer.fold is None else {"fold": list(layer.fold)}))
    save_state(folder / TENSORS, tensors)
    written = {
        "format_version": FORMAT_VERSION,
        "weights_sha256": weights_sha256,
        "tensors_sha256": file_sha256(folder / TENSORS),
        "layers": layers,
    }
    write_bytes(folder / ADAPTATION, (json.dumps(written, indent=1, sort_keys=True) + "\n").encode())


def load_adaptation(folder: Path, weights_sha256: str) -> Adaptation | None:
    """Read the adaptation beside weights; None if there is none.

    Raises CheckpointError if it is damaged, of other weights or from another version.
    """
    path = folder / ADAPTATION
    if not path.is_file():
        if (folder / TENSORS).exists():
            raise CheckpointError(f"{path} is missing beside {TENSORS}; adapt again")
        return None
    try:
        content = read_json(path.read_text(encoding="utf-8"))
        version, checksum = content["format_version"], content["tensors_sha256"]
        layers, base = content["layers"], content["weights_sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is not readable ({error}); adapt again") from error
    if version not in READABLE:
        raise CheckpointError(f"{path} has format version {version!r}, not {FORMAT_VERSION}; adapt again")
    if base != weights_sha256:
        raise CheckpointError(f"{path} belongs to other weights than those beside it; adapt these")
    tensors = load_state(folder / TENSORS)
    if file_sha256(folder / TENSORS) != checksum:
        raise CheckpointError(f"{folder / TENSORS} does not match the checksum in {ADAPTATION}; adapt again")
    try:
        read = tuple(_layer(layer, tensors) for layer in layers)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} and {TENSORS} do not fit together ({error}); adapt again") from error
    return Adaptation(read, checksum)


def _layer(content: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Layer:
    processes = {}
    for name, numbers in content["processes"].items():
        start = f"{content['name']}.{name}."
        arrays = {k.removeprefix(start): v.numpy() for k, v in tensors.items() if k.startswith(start)}
        processes[name] = ResidualProcess.from_parts(arrays, numbers)
    fold = content.get("fold")
    some = None if fold is None else (int(fold[0]), int(fold[1]))
    return Layer(content["name"], processes, content["record"], some)


def adapted_sha256(weights_sha256: str, adaptation: Adaptation | None) -> str:
    """Return the checksum that names weights together with their adaptation, for run records."""
    if adaptation is None or not adaptation.layers:
        return weights_sha256
    both = weights_sha256 + adaptation.tensors_sha256
    return hashlib.sha256(both.encode()).hexdigest()
