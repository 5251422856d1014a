"""The [tune] table of a training configuration: what is searched and how."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from softlyte.models.config import ConfigError, TrainingConfig, read_document, validated
from softlyte.models.tasks import TARGET_NAMES

SEARCHABLE = ("network.", "training.", "data.weights.")
"""What may be searched: keys outside of these do not change a trial, or change what is compared."""

Value = bool | int | float | str


class ParameterConfig(BaseModel):
    """One searched key: a list of choices, or a range (whole numbers if both ends are).

    Attributes:
        choices: values to choose from.
        low: least value.
        high: largest value.
        log: True to search the logarithm.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    choices: tuple[Value, ...] | None = None
    low: int | float | None = None
    high: int | float | None = None
    log: bool = False

    @model_validator(mode="after")
    def _one_kind(self) -> ParameterConfig:
        if self.choices is not None:
            if self.low is not None or self.high is not None or self.log or len(self.choices) < 2:
                raise ValueError("give two choices or more and nothing else, or low and high")
        elif self.low is None or self.high is None or not self.low < self.high:
            raise ValueError("give choices, or low and high with low below high")
        elif self.log and self.low <= 0:
            raise ValueError("low must be above 0 for log = true")
        return self

    def ends(self) -> tuple[Value, ...]:
        """Return the values whose usability stands for that of all: every choice, or both ends."""
        if self.choices is not None:
            return self.choices
        assert self.low is not None  # noqa: S101 - the validator has made sure
        assert self.high is not None  # noqa: S101
        return (self.low, self.high)


class TuneConfig(BaseModel):
    """A search over training configurations.

    Attributes:
        trials: configurations to try, those that were stopped early included.
        workers: processes that try configurations at the same time.
        folds: folds that are held out, one after the other, from each trial's networks.
        targets: targets whose errors count, each alike.
        rungs: epochs (counted over the stages) at which a trial may be stopped; None for a quarter and half.
        reduction: about one in this many trials goes on at a rung; 1 never stops a trial.
        seed: of the sampler.
        space: the searched keys of the training configuration, for example "network.width".
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    trials: int = Field(50, ge=1)
    workers: int = Field(1, ge=1, le=256)
    folds: tuple[int, ...] = Field((0,), min_length=1)
    targets: tuple[str, ...] = Field(TARGET_NAMES, min_length=1)
    rungs: tuple[int, ...] | None = None
    reduction: int = Field(3, ge=1)
    seed: int = Field(0, ge=0)
    space: dict[str, ParameterConfig] = Field(min_length=1)

    @field_validator("space", mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        """Accept network.width = {...} as well as "network.width" = {...}."""
        return dict(_flattened("", value)) if isinstance(value, dict) else value

    @field_validator("targets")
    @classmethod
    def _known_targets(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in value if name not in TARGET_NAMES]
        if unknown:
            raise ValueError(f"no target {', '.join(unknown)}; there are {', '.join(TARGET_NAMES)}")
        return value

    def identity(self) -> dict[str, Any]:
        """Return what makes trials comparable: everything but how many and how many at once."""
        return self.model_dump(mode="json", exclude={"trials", "workers"})


def load_tuning(path: Path | str) -> tuple[TrainingConfig, TuneConfig]:
    """Read a training configuration with a [tune] table; raises ConfigError with one sentence."""
    path = Path(path)
    raw = read_document(path)
    if "tune" not in raw:
        raise ConfigError(f"{path} has no [tune] table; add one with the keys to search")
    tuning = validated(TuneConfig, raw.pop("tune"), f"{path}: tune")
    training = validated(TrainingConfig, raw, str(path))
    check_tuning(training, tuning, str(path))
    return training, tuning


def check_tuning(training: TrainingConfig, tuning: TuneConfig, where: str = "the configuration") -> None:
    """Raise ConfigError if a searched key, a fold or a rung does not fit the training configuration."""
    for key, parameter in tuning.space.items():
        if not key.startswith(SEARCHABLE):
            raise ConfigError(f"{where}: {key} cannot be searched; keys begin with {', '.join(SEARCHABLE)}")
        for value in parameter.ends():
            with_values(training, {key: value}, where)
    if any(not 0 <= fold < training.data.folds for fold in tuning.folds):
        raise ConfigError(f"{where}: tune.folds must lie between 0 and {training.data.folds - 1}")
    epochs = sum(stage.epochs for stage in training.training.stages_of("train"))
    if any(not 0 < rung < epochs for rung in tuning.rungs or ()):
        raise ConfigError(
            f"{where}: tune.rungs must lie between 1 and {epochs - 1}, below the epochs of a trial"
        )


def with_values(
    training: TrainingConfig, values: Mapping[str, Value], where: str = "the configuration"
) -> TrainingConfig:
    """Return the configuration with some keys replaced; raises ConfigError for a bad key or value."""
    raw = training.model_dump(mode="json")
    for key, value in values.items():
        node: Any = raw
        *parents, last = key.split(".")
        try:
            for part in parents:
                node = node[int(part)] if isinstance(node, list) else node[part]
            if not isinstance(node, dict):
                raise KeyError(last)
        except (KeyError, IndexError, ValueError, TypeError):
            raise ConfigError(
                f"{where}: there is no key {key}; name one of the training configuration"
            ) from None
        node[last] = value
    return validated(TrainingConfig, raw, f"{where} with {shown(values)}")


def shown(values: Mapping[str, Any]) -> str:
    """Return keys and values as text, numbers to four digits."""
    return ", ".join(
        f"{key} = {value:.4g}" if isinstance(value, float) else f"{key} = {value}"
        for key, value in values.items()
    )


def _flattened(prefix: str, node: dict[str, Any]) -> list[tuple[str, Any]]:
    fields = ParameterConfig.model_fields
    out: list[tuple[str, Any]] = []
    for key, value in node.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value and not set(value) & set(fields):
            out += _flattened(f"{name}.", value)
        else:
            out.append((name, value))
    return out
