"""Ensembles that know nothing published after a year: one pretraining for all years, a last stage for each.

The pretraining learns from computed crystals and from SciGlass, and from no conductivity at all. A year's own
stages go on from it with the conductivities published by then. Cited mechanics have no year of publication in
their table and are left out. What lies within NEAR_DUPLICATE of a scored discovery is in no row of any table,
computed ones included.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from softlyte.models.config import DEFAULT_CONFIG, EnsembleConfig, StageConfig, TrainingConfig, load_config
from softlyte.models.run_folder import RESOLVED
from softlyte.models.train import METRICS, train
from softlyte.screening.fit_parameters import hardness_offset, pellet_offset, pressure_law
from softlyte.screening.parameters import Parameter, parameters
from softlyte.screening.rediscovery.discoveries import NEAR_DUPLICATE

_CONDUCTIVITY_FREE = {
    "formation_energy": 1.0,
    "crystal_volume": 0.5,
    "glass_mechanics": 0.5,
    "glass_properties": 0.25,
    "elastic_moduli": 2.0,
    "windows_computed": 2.0,
}
_PROPERTIES = {
    "formation_energy": 0.25,
    "crystal_volume": 0.2,
    "glass_mechanics": 1.0,
    "glass_properties": 0.1,
    "elastic_moduli": 4.0,
    "windows_computed": 2.0,
}
_MEASURED = {
    "formation_energy": 0.02,
    "crystal_volume": 0.02,
    "glass_mechanics": 0.1,
    "glass_properties": 0.02,
    "glass_conductivity": 0.15,
    "elastic_moduli": 0.3,
    "windows_computed": 0.2,
    "conductivity_obelix": 5.0,
    "conductivity_cited": 10.0,
    "distilled": 0.25,
}


@dataclass(frozen=True)
class Effort:
    """How much is trained.

    Attributes:
        members: networks of an ensemble, each with a part of the chemical systems held out.
        share: factor on every stage's epochs.
        seed: of weights and batches.
    """

    members: int = 3
    share: float = 1.0
    seed: int = 0

    def epochs(self, usual: int) -> int:
        """Return the epochs of a stage, at least one."""
        return max(1, round(self.share * usual))


def pretraining_config(effort: Effort, year: int, leave_out: tuple[str, ...]) -> TrainingConfig:
    """Return the configuration of the pretraining that all years share.

    Args:
        effort: how much is trained.
        year: the earliest of the years.
        leave_out: the formulas of all years' discoveries.
    """
    stages = (
        StageConfig(name="pretrain", epochs=effort.epochs(3), learning_rate=2e-3, passes=_CONDUCTIVITY_FREE),
        StageConfig(name="properties", epochs=effort.epochs(3), learning_rate=1e-3, passes=_PROPERTIES),
    )
    return _config(effort, year, leave_out, stages, None)


def year_config(effort: Effort, year: int, leave_out: tuple[str, ...], start: Path) -> TrainingConfig:
    """Return the configuration of a year's ensemble.

    Args:
        effort: how much is trained.
        year: learn from nothing published later.
        leave_out: formulas of the year's discoveries.
        start: run folder of the pretraining.
    """
    stages = (
        StageConfig(name="measured", epochs=effort.epochs(6), learning_rate=1e-3, passes=_MEASURED),
        StageConfig(name="refit", epochs=effort.epochs(2), learning_rate=5e-4, rows="all", passes=_MEASURED),
    )
    return _config(effort, year, leave_out, stages, str(start))


def _config(
    effort: Effort,
    year: int,
    leave_out: tuple[str, ...],
    stages: tuple[StageConfig, ...],
    start: str | None,
) -> TrainingConfig:
    shipped = load_config(DEFAULT_CONFIG)
    training = shipped.training.model_copy(update={"stages": stages, "start": start})
    data = shipped.data.model_copy(
        update={
            "tables": tuple(name for name in shipped.data.tables if name != "mechanics_cited"),
            "folds": effort.members,
            "published_until": year,
            "leave_out": leave_out,
            "leave_out_distance": NEAR_DUPLICATE,
        }
    )
    ensemble = EnsembleConfig(members=effort.members, processes=1)
    changed = {"training": training, "data": data, "ensemble": ensemble, "seed": effort.seed}
    # model_copy checks nothing; the copy is read again so that what does not fit together is refused.
    return TrainingConfig.model_validate(shipped.model_copy(update=changed).model_dump())


def pretrained(config: TrainingConfig, folder: Path, device: str, progress: bool) -> Path:
    """Return the run folder with the members that every year starts from, trained as far as not finished."""
    train(config, folder, device=device, progress=progress, calibrated=False)
    return folder


def trained(config: TrainingConfig, folder: Path, device: str, progress: bool) -> Path:
    """Return the ensemble of a run folder, trained as far as it is not finished."""
    stated, done = folder / RESOLVED, folder / METRICS  # the latter is written last
    if done.is_file() and stated.read_text(encoding="utf-8") == config.model_dump_json(indent=1) + "\n":
        return folder / "checkpoint"
    result = train(config, folder, device=device, progress=progress)
    assert result.checkpoint is not None  # noqa: S101 - no limit of time was given
    return result.checkpoint


@lru_cache(maxsize=8)
def parameters_until(year: int) -> dict[str, Parameter]:
    """Return the numbers of the mechanics and pressure models with a pressure law fitted until a year.

    The other numbers rest on SciGlass (up to 2019), handbooks of melting, and oxides and sulfides.
    """
    law = pressure_law(hardness_offset(), pellet_offset(), published_until=year)
    return parameters() | {row[0]: Parameter(row[1], row[2]) for row in law}
