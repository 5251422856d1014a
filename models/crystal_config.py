"""The configuration of a training on structures: one TOML file with a [structures] table."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from softlyte.models.config import ConfigError, read_document, validated
from softlyte.models.crystal_data import SHIPPED
from softlyte.models.crystal_network import CrystalNetworkConfig, GraphConfig
from softlyte.models.crystal_tasks import CRYSTAL_TASKS


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StructuresConfig(_Strict):
    """Tables of labelled structures, and their folds.

    Attributes:
        tables: name of each table and its Parquet file, see models.crystal_data. Relative paths count from
            the folder of the configuration.
        folds: parts by reduced formula; every part is predicted by networks that have not seen it.
        split_seed: of the folds.
        processes: that read structures at once when a table is used for the first time.
        weights: weight of each task in the loss; 1 where not stated.
        shipped: vendored tables to learn from too, see models.crystal_data.SHIPPED.
    """

    tables: dict[str, Path] = Field(min_length=1)
    folds: int = Field(5, ge=2, le=32)
    split_seed: int = 0
    processes: int = Field(1, ge=1, le=64)
    weights: dict[str, float] = {}
    shipped: tuple[str, ...] = Field((), exclude_if=lambda value: not value)

    @field_validator("shipped")
    @classmethod
    def _known_tables(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = sorted(set(value) - set(SHIPPED))
        if unknown:
            raise ValueError(f"no vendored table {', '.join(unknown)}; there are {', '.join(SHIPPED)}")
        return value

    @field_validator("weights")
    @classmethod
    def _known_weights(cls, value: dict[str, float]) -> dict[str, float]:
        unknown = sorted(set(value) - set(CRYSTAL_TASKS))
        if unknown:
            raise ValueError(f"no task {', '.join(unknown)}; there are {', '.join(CRYSTAL_TASKS)}")
        if any(not weight > 0 for weight in value.values()):
            raise ValueError("weights must be above 0")
        return value


class CrystalStageConfig(_Strict):
    """One stage of a fit: a one-cycle schedule over some tables.

    Attributes:
        name: of the stage and of its folder.
        epochs: passes over the drawn rows.
        learning_rate: peak of the one-cycle schedule (AdamW).
        passes: average draws of each row in an epoch by table; a table that is not named is not drawn.
            Empty: every row of every table once.
        shared: trained once for all members, see `CrystalTrainingConfig.shared_tables`.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    epochs: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    passes: dict[str, float] = {}
    shared: bool = False

    @field_validator("passes")
    @classmethod
    def _positive(cls, value: dict[str, float]) -> dict[str, float]:
        if any(not drawn > 0 for drawn in value.values()):
            raise ValueError("passes must be above 0")
        return value


class CrystalEnsembleConfig(_Strict):
    """How many networks are trained, and how many at once.

    Attributes:
        members: networks; member m never sees fold m % folds. None for as many as folds.
        processes: members trained at once on a CPU.
    """

    members: int | None = Field(None, ge=1, le=64)
    processes: int = Field(1, ge=1, le=64)


class CrystalFitConfig(_Strict):
    """How one network is trained.

    Attributes:
        batch_size: crystals a step.
        weight_decay: of AdamW.
        scale_exponent: see models.loss.MultiTaskLoss.
        gradient_clip: largest norm of the gradient.
        precision: Lightning's precision; bf16-mixed and 16-mixed need CUDA.
        stages: one after the other, each from the weights of the one before.
    """

    batch_size: int = Field(64, ge=1)
    weight_decay: float = Field(1e-2, ge=0)
    scale_exponent: float = Field(0.5, ge=0, le=1)
    gradient_clip: float = Field(1.0, gt=0)
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    stages: tuple[CrystalStageConfig, ...] = Field(min_length=1)

    @field_validator("stages")
    @classmethod
    def _own_names(cls, value: tuple[CrystalStageConfig, ...]) -> tuple[CrystalStageConfig, ...]:
        names = [stage.name for stage in value]
        if len(set(names)) < len(names):
            raise ValueError(f"every stage needs a name of its own, not {', '.join(names)}")
        shared = [stage.shared for stage in value]
        if shared != sorted(shared, reverse=True) or all(shared):
            raise ValueError("shared stages come first, and a stage of each member's own after them")
        if any(stage.shared and not stage.passes for stage in value):
            raise ValueError("a shared stage needs passes: the tables that all members may learn from")
        return value


class CrystalTrainingConfig(_Strict):
    """Everything that a training on structures needs."""

    structures: StructuresConfig
    training: CrystalFitConfig
    ensemble: CrystalEnsembleConfig = CrystalEnsembleConfig()
    graph: GraphConfig = GraphConfig()
    network: CrystalNetworkConfig = CrystalNetworkConfig()
    seed: int = Field(0, ge=0)

    @property
    def members(self) -> int:
        """Networks of the ensemble."""
        return self.ensemble.members or self.structures.folds

    @property
    def shared_tables(self) -> frozenset[str]:
        """Tables that shared stages draw from.

        Their fold 0 is kept from every member and judges them all. In a shared stage the formulas of the
        other tables are left out too, so that those still judge each member by its own fold.
        """
        return frozenset(name for stage in self.training.stages if stage.shared for name in stage.passes)

    @model_validator(mode="after")
    def _known_tables(self) -> CrystalTrainingConfig:
        for stage in self.training.stages:
            named = (*self.structures.tables, *self.structures.shipped)
            unknown = sorted(set(stage.passes) - set(named))
            if unknown:
                known = ", ".join(named)
                raise ValueError(
                    f"stage {stage.name} draws from {', '.join(unknown)}; structures.tables has {known}"
                )
        if self.members % self.structures.folds:
            raise ValueError(
                f"ensemble.members {self.members} must be a multiple of structures.folds "
                f"{self.structures.folds}: every fold is judged by equally many members"
            )
        return self


def load_crystal_config(path: Path | str) -> CrystalTrainingConfig:
    """Read and check a TOML file; raises ConfigError with one sentence. Paths become absolute."""
    path = Path(path)
    config = validated(CrystalTrainingConfig, read_document(path), str(path))
    tables = {name: (path.parent / table).resolve() for name, table in config.structures.tables.items()}
    for name, table in tables.items():
        if not table.is_file():
            raise ConfigError(
                f"{path}: there is no file {table} for structures.tables.{name}; give the path of a Parquet "
                "file with labelled structures (docs/crystals.md says what it must hold)"
            )
    return config.model_copy(update={"structures": config.structures.model_copy(update={"tables": tables})})
