"""The training configuration: one TOML file, validated before any work starts."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from softlyte.datasets.errors import UserError
from softlyte.models.network import NetworkConfig
from softlyte.models.tasks import TARGET_NAMES
from softlyte.models.training_data import SOURCES

DEFAULT_CONFIG = Path(__file__).parent / "configs" / "composition.toml"
"""The configuration that the shipped weights were trained with."""


class ConfigError(UserError):
    """A configuration that cannot be used; the message names the file, the key and the remedy."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FitConfig(_Strict):
    """How one member is trained.

    Attributes:
        epochs: passes over the sampled rows.
        batch_size: rows a step.
        learning_rate: peak of the one-cycle schedule (AdamW).
        weight_decay: of AdamW.
        scale_exponent: see models.loss.MultiTaskLoss.
        gradient_clip: largest norm of the gradient.
        refit_epochs: epochs over all rows, validation and test included, after the evaluation; the
            shipped weights are those.
        refit_learning_rate: peak learning rate of the refit.
        precision: Lightning's precision; bf16-mixed and 16-mixed need CUDA.
    """

    epochs: int = Field(40, ge=1)
    batch_size: int = Field(512, ge=1)
    learning_rate: float = Field(2e-3, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    scale_exponent: float = Field(0.5, ge=0, le=1)
    gradient_clip: float = Field(1.0, gt=0)
    refit_epochs: int = Field(4, ge=0)
    refit_learning_rate: float = Field(3e-4, gt=0)
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"


class EnsembleConfig(_Strict):
    """Members, and how many are trained at once (each in a process of its own with one thread)."""

    members: int = Field(5, ge=1, le=64)
    processes: int = Field(2, ge=1, le=64)


class DataConfig(_Strict):
    """Tables, split, sampling and weights.

    Attributes:
        tables: tables to learn from, keys of models.training_data.SOURCES.
        split_seed: of the 80/10/10 split by chemical system.
        passes: how often each row of a table is drawn in an epoch, on average; 1 where not stated.
        weights: weight of each target in the loss; 1 where not stated.
    """

    tables: tuple[str, ...] = tuple(SOURCES)
    split_seed: int = 0
    passes: dict[str, float] = {}
    weights: dict[str, float] = {}

    @field_validator("tables")
    @classmethod
    def _known_tables(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        _all_in(value, SOURCES, "training table")
        return value

    @field_validator("passes")
    @classmethod
    def _known_passes(cls, value: dict[str, float]) -> dict[str, float]:
        _all_in(value, SOURCES, "training table")
        _positive(value, "passes")
        return value

    @field_validator("weights")
    @classmethod
    def _known_weights(cls, value: dict[str, float]) -> dict[str, float]:
        _all_in(value, TARGET_NAMES, "target")
        _positive(value, "weights")
        return value


class TrainingConfig(_Strict):
    """Everything a training run needs."""

    network: NetworkConfig = NetworkConfig()
    training: FitConfig = FitConfig()
    ensemble: EnsembleConfig = EnsembleConfig()
    data: DataConfig = DataConfig()
    seed: int = Field(0, ge=0)


def load_config(path: Path | str) -> TrainingConfig:
    """Read and check a TOML configuration; raises ConfigError with one sentence."""
    path = Path(path)
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"there is no file {path}; give the path of a training TOML") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} is not readable TOML ({error}); correct the file") from error
    try:
        return TrainingConfig.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"{path}: {key} = {first.get('input')!r} is not usable ({first['msg']}); correct that key"
        ) from None


def _all_in(names: object, known: object, what: str) -> None:
    unknown = [name for name in names if name not in known]  # type: ignore[attr-defined,operator]
    if unknown:
        raise ValueError(f"no {what} {', '.join(unknown)}; there are {', '.join(known)}")  # type: ignore[arg-type]


def _positive(values: dict[str, float], what: str) -> None:
    if any(not value > 0 for value in values.values()):
        raise ValueError(f"{what} must be above 0")
