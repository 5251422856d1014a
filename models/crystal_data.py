"""Tables of labelled structures become graphs and one matrix of targets, each row with its fold.

A table is a Parquet file with a column `cif` (CIF text) and at least one label column: `k_vrh_gpa` and
`g_vrh_gpa` (Voigt-Reuss-Hill averages, GPa), `formation_energy_ev_atom` (eV/atom). `mp_id` names the
structures; with `fidelity` (a name of columns.FIDELITIES) rows of several fidelities stand in one table.
Reading tens of thousands of CIFs takes minutes, so the graphs are kept in the cache as tensors.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pyarrow import ArrowInvalid
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from softlyte.datasets.columns import FIDELITIES
from softlyte.datasets.formulas import Compositions
from softlyte.datasets.splits import grouped_folds
from softlyte.datasets.tables import load_table, table_checksum, table_names
from softlyte.datasets.writing import write_bytes
from softlyte.featurize.crystal_batch import CrystalGraphs
from softlyte.featurize.crystal_files import CrystalSource, read_crystals
from softlyte.featurize.crystal_graph import CrystalFeaturizer
from softlyte.featurize.hull_cache import cache_folder
from softlyte.models.checkpoint import file_sha256
from softlyte.models.crystal_tasks import CRYSTAL_COLUMNS
from softlyte.models.tasks import TARGET_NAMES
from softlyte.models.training_data import (
    CRYSTAL,
    ROOM_C,
    Standardisation,
    TrainingDataError,
    TrainingRows,
)

STRUCTURE = "cif"
LABELS = {
    "k_vrh_gpa": "bulk_modulus_gpa",
    "g_vrh_gpa": "shear_modulus_gpa",
    "formation_energy_ev_atom": "formation_energy_ev_atom",
}
"""Label column and the target that it teaches; the density comes from the structure itself."""

SHIPPED = {"potential_crystals": "potential_crystal"}
"""Vendored tables with structures, and the fidelity of their values."""

FORMAT = "1"
"""Changes whenever graphs are made or stored differently; older files are then left alone."""

_LEAST_MODULUS_GPA = 1.5
_POISSON = (-0.2, 0.48)
_FORMATION_ENERGY_EV_ATOM = (-5.0, 2.0)
_EXTRA = ("atomic_numbers", "amounts", "density", "position")


@dataclass(frozen=True)
class CrystalRows:
    """N labelled crystals.

    Attributes:
        graphs: N packed graphs.
        compositions: N compositions.
        targets: [N, len(TARGET_NAMES)] in each task's transformed unit, NaN where not labelled.
        source: [N] index into `sources`.
        position: [N] row of its table.
        fold: [N] 0..K-1 by reduced formula: polymorphs share a fold.
        sources: names of the tables.
        left_out: for each table, how many rows were left out for what reason.
        unread: for each table, the structures that could not be used, "name: reason".
    """

    graphs: CrystalGraphs
    compositions: Compositions
    targets: NDArray[np.float64]
    source: NDArray[np.int64]
    position: NDArray[np.int64]
    fold: NDArray[np.int64]
    sources: tuple[str, ...]
    left_out: dict[str, dict[str, int]]
    unread: dict[str, list[str]]

    def __len__(self) -> int:
        return len(self.fold)

    def labels(self) -> NDArray[np.float64]:
        """Return the labels of the crystal tasks in transformed units, [N, len(CRYSTAL_TASKS)]."""
        return self.targets[:, list(CRYSTAL_COLUMNS)]

    def as_training_rows(self) -> TrainingRows:
        """Return compositions, conditions and labels as rows of the composition networks, crystals all."""
        return TrainingRows(
            compositions=self.compositions,
            phase=np.full(len(self), CRYSTAL),
            fidelity=self.graphs.fidelity.numpy().astype(np.int64),
            temperature_c=np.full(len(self), ROOM_C),
            targets=self.targets,
            censored=np.zeros(len(self), dtype=bool),
            weight=np.ones(len(self)),
            source=self.source,
            fold=self.fold,
            sources=self.sources,
        )

    def standardisation(self) -> Standardisation:
        """Return mean and standard deviation of each target; 0 and 1 where fewer than two are labelled."""
        mean, sd = np.zeros(len(TARGET_NAMES)), np.ones(len(TARGET_NAMES))
        known = (~np.isnan(self.targets)).sum(axis=0) >= 2
        mean[known] = np.nanmean(self.targets[:, known], axis=0)
        spread = np.nanstd(self.targets[:, known], axis=0)
        sd[known] = np.where(spread > 0, spread, 1.0)
        return Standardisation(mean, sd)


@dataclass(frozen=True)
class _Table:
    """The structures of one table that could be used; `position` are their rows."""

    graphs: CrystalGraphs
    compositions: Compositions
    density: NDArray[np.float64]
    position: NDArray[np.int64]
    unread: list[str]


def load_crystal_rows(
    tables: Mapping[str, Path],
    featurizer: CrystalFeaturizer,
    folds: int = 5,
    seed: int = 0,
    processes: int = 1,
    shipped: Sequence[str] = (),
) -> CrystalRows:
    """Read tables of labelled structures, from the cache where it holds their graphs.

    Labels that cannot be right are left out: moduli below 1.5 GPa or a Poisson's ratio outside -0.2..0.48
    (what relaxes away under load, or failed fits), formation energies outside -5..2 eV/atom. Of rows with
    one `mp_id` the first is kept, none if their labels differ by more than a factor of two or 0.1 eV/atom.

    Args:
        tables: name and Parquet file of each.
        featurizer: makes the graphs.
        folds: parts by reduced formula, over all tables at once.
        seed: of the folds.
        processes: that read structures at once.
        shipped: vendored tables to learn from too, of SHIPPED.

    Raises:
        TrainingDataError: a file is missing or unreadable, lacks a column, or holds no usable row.
    """
    parts: list[_Table] = []
    targets: list[NDArray[np.float64]] = []
    left_out: dict[str, dict[str, int]] = {}
    frames = {name: (str(path), _checksum(path), _frame(path)) for name, path in tables.items()}
    frames |= {name: (f"the table {name}", *_shipped_frame(name)) for name in shipped}
    for name, (place, digest, frame) in frames.items():
        table = _graphs_of(digest, frame, featurizer, processes)
        labels, reason = _labels(frame)
        why = np.array(reason, dtype=object)
        read = np.zeros(len(frame), dtype=bool)
        read[table.position] = True
        why[~read] = "structure not usable"
        left_out[name] = dict(Counter(str(r) for r in why if r))
        good = np.flatnonzero(why[table.position] == "")
        if not len(good):
            raise TrainingDataError(f"{place} has no usable row ({left_out[name]}); give another table")
        matrix = np.full((len(good), len(TARGET_NAMES)), np.nan)
        for column, target in LABELS.items():
            if column in labels:
                matrix[:, TARGET_NAMES.index(target)] = labels[column].to_numpy()[table.position[good]]
        matrix[:, TARGET_NAMES.index("density_g_cm3")] = np.log10(table.density[good])
        targets.append(matrix)
        rows = torch.from_numpy(good)
        parts.append(
            _Table(
                table.graphs.select(rows),
                table.compositions[good],
                table.density[good],
                table.position[good],
                table.unread,
            )
        )
    compositions = Compositions.concatenate([part.compositions for part in parts])
    groups = [key.tobytes().hex() for key in compositions.keys()]  # noqa: SIM118 - not a mapping
    return CrystalRows(
        CrystalGraphs.concatenate([part.graphs for part in parts]),
        compositions,
        np.concatenate(targets),
        np.repeat(np.arange(len(parts)), [len(part.position) for part in parts]),
        np.concatenate([part.position for part in parts]),
        grouped_folds(groups, folds, seed),
        tuple(frames),
        left_out,
        {name: part.unread for name, part in zip(frames, parts, strict=True)},
    )


def _checksum(path: Path) -> str:
    """Return the SHA-256 of a file; "" for one that is not there, which `_frame` says."""
    return file_sha256(path) if path.is_file() else ""


def _shipped_frame(name: str) -> tuple[str, pd.DataFrame]:
    """Return checksum and sound rows of a vendored table, with the columns that other tables have."""
    if name not in table_names():
        raise TrainingDataError(
            f"there is no table {name} yet; build it with: python -m softlyte.screening.physics.label_tables"
        )
    renamed = {"bulk_modulus_gpa": "k_vrh_gpa", "shear_modulus_gpa": "g_vrh_gpa"}
    frame = load_table(name, drop_flagged=True).rename(columns=renamed)
    return table_checksum(name), frame[[STRUCTURE, *LABELS]].assign(fidelity=SHIPPED[name])


def _frame(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path)
    except FileNotFoundError:
        raise TrainingDataError(f"there is no file {path}; give a Parquet table of structures") from None
    except (OSError, ArrowInvalid) as error:
        raise TrainingDataError(f"{path} is no readable Parquet file ({error}); copy it again") from error
    if STRUCTURE not in frame or not set(LABELS) & set(frame.columns):
        raise TrainingDataError(
            f"{path} needs a column {STRUCTURE} and one of {', '.join(LABELS)}; "
            f"it has {', '.join(map(str, frame.columns))}"
        )
    if "fidelity" in frame:
        unknown = sorted(set(frame["fidelity"]) - set(FIDELITIES))
        if unknown:
            raise TrainingDataError(
                f"{path} has the unknown fidelity {unknown[0]!r}; there are {', '.join(FIDELITIES)}"
            )
    return frame


def _labels(frame: pd.DataFrame) -> tuple[dict[str, pd.Series], NDArray[np.object_]]:
    """Return transformed labels by column, and for each row why it cannot be used, "" if it can."""
    reason = np.full(len(frame), "", dtype=object)

    def leave_out(mask: NDArray[np.bool_], why: str) -> None:
        reason[mask & (reason == "")] = why

    found = {column: pd.to_numeric(frame[column], errors="coerce") for column in LABELS if column in frame}
    missing = np.logical_and.reduce([values.isna().to_numpy() for values in found.values()])
    leave_out(missing, "no label")
    known_energy = found.get("formation_energy_ev_atom")
    if known_energy is not None:
        low, high = _FORMATION_ENERGY_EV_ATOM
        leave_out(((known_energy < low) | (known_energy > high)).to_numpy(), "implausible formation energy")
    for column in ("k_vrh_gpa", "g_vrh_gpa"):
        if column in found:
            leave_out((found[column] < _LEAST_MODULUS_GPA).to_numpy(), "modulus below 1.5 GPa")
            found[column] = np.log10(found[column].where(found[column] > 0))
    if "k_vrh_gpa" in found and "g_vrh_gpa" in found:
        k, g = 10.0 ** found["k_vrh_gpa"], 10.0 ** found["g_vrh_gpa"]
        poisson = (3 * k - 2 * g) / (6 * k + 2 * g)
        leave_out(
            ((poisson < _POISSON[0]) | (poisson > _POISSON[1])).to_numpy(), "improbable Poisson's ratio"
        )
    if "mp_id" in frame:
        # Of what can be used: a bad first row does not hide a good second one.
        usable = reason == ""
        kept = frame["mp_id"].where(
            usable, other=pd.Series(range(len(frame)), frame.index).map("row {}".format)
        )
        for column, values in found.items():
            spread = values.groupby(kept).transform("max") - values.groupby(kept).transform("min")
            allowed = 0.1 if column == "formation_energy_ev_atom" else np.log10(2.0)
            leave_out((spread > allowed).to_numpy(), "contradicts another row of its mp_id")
        leave_out(kept.duplicated().to_numpy(), "repeats another row's mp_id")
    return found, reason


def _graphs_of(digest: str, frame: pd.DataFrame, featurizer: CrystalFeaturizer, processes: int) -> _Table:
    """Return the graphs of a table, from the cache if they are there."""
    settings = f"{featurizer.cutoff_angstrom}-{featurizer.neighbours}-{featurizer.angle_neighbours}"
    folder = cache_folder()
    kept = None if folder is None else folder / "crystals" / f"{FORMAT}-{digest[:24]}-{settings}.safetensors"
    if kept is not None and (table := _read(kept)) is not None:
        return table
    names = frame["mp_id"].astype(str) if "mp_id" in frame else pd.Series(range(1, len(frame) + 1)).map(str)
    sources = [
        CrystalSource(name, text=str(text), kind="cif")
        for name, text in zip(names, frame[STRUCTURE], strict=True)
    ]
    reading = read_crystals(sources, processes)
    # A CIF with several structures has one label: only its first structure is that of the row.
    first = np.unique(reading.position, return_index=True)[1]
    crystals, position = reading.crystals[first], reading.position[first]
    fidelity: NDArray[np.int64] | int = FIDELITIES.index("dft_pbe_crystal")
    if "fidelity" in frame:
        fidelity = frame["fidelity"].map(FIDELITIES.index).to_numpy(np.int64)[position]
    table = _Table(
        featurizer.pack(crystals, fidelity),
        crystals.compositions(),
        crystals.densities(),
        position,
        [f"{failure.name}: {failure.reason}" for failure in reading.failures],
    )
    if kept is not None:
        _write(kept, table)
    return table


def _write(path: Path, table: _Table) -> None:
    """Keep a table's graphs; where nothing can be written the next run makes them again."""
    tensors = {name: tensor.contiguous() for name, tensor in vars(table.graphs).items() if name[0] != "_"}
    tensors |= {
        "atomic_numbers": torch.from_numpy(table.compositions.atomic_numbers.copy()),
        "amounts": torch.from_numpy(table.compositions.amounts.copy()),
        "density": torch.from_numpy(table.density),
        "position": torch.from_numpy(table.position),
    }
    try:
        write_bytes(path, save(tensors, metadata={"unread": json.dumps(table.unread)}))
    except OSError:
        return


def _read(path: Path) -> _Table | None:
    """Return a table's graphs, None if they are not there or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
            unread = json.loads((file.metadata() or {})["unread"])
        extra = {name: tensors.pop(name).numpy() for name in _EXTRA}
        return _Table(
            CrystalGraphs(**tensors),
            Compositions(extra["atomic_numbers"], extra["amounts"]),
            extra["density"],
            extra["position"],
            unread,
        )
    except (OSError, SafetensorError, KeyError, TypeError):
        return None
