"""The training configuration: one TOML file, validated before any work starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from softlyte.datasets.documents import DocumentError, read_json, read_toml
from softlyte.datasets.errors import UserError
from softlyte.datasets.own.store import load_own, state_sha256
from softlyte.models.distillation import DISTILLED
from softlyte.models.network import NetworkConfig
from softlyte.models.own_rows import OWN
from softlyte.models.tasks import TARGET_NAMES
from softlyte.models.training_data import DEFAULT_TABLES, SOURCES

DEFAULT_CONFIG = Path(__file__).parent / "configs" / "composition.toml"
"""The configuration that the shipped weights were trained with."""


class ConfigError(UserError):
    """A configuration that cannot be used; the message names the file, the key and the remedy."""


OWN_PASSES = 8.0
"""Draws of own measurements in an epoch where no stage says how often measured rows are drawn."""

_Model = TypeVar("_Model", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StageConfig(_Strict):
    """One stage of a fit: a one-cycle schedule over some tables.

    Attributes:
        name: of the stage and of its folder.
        epochs: passes over the sampled rows, at most.
        learning_rate: peak of the one-cycle schedule (AdamW).
        rows: "train" for the rows that the fit may see before its evaluation, "all" for every row: such
            stages come last and make the weights that ship.
        passes: average draws of each row in an epoch by table; a table that is not named is not drawn.
            Empty: every row of every table once. `distilled` draws what trees have learned from the
            small tables (see models.distillation).
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    epochs: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    rows: Literal["train", "all"] = "train"
    passes: dict[str, float] = {}

    @field_validator("passes")
    @classmethod
    def _known_passes(cls, value: dict[str, float]) -> dict[str, float]:
        _all_in(value, (*SOURCES, DISTILLED), "training table")
        _positive(value, "passes")
        return value


class FitConfig(_Strict):
    """How one member is trained.

    Attributes:
        batch_size: rows a step (and a device).
        weight_decay: of AdamW.
        scale_exponent: see models.loss.MultiTaskLoss.
        gradient_clip: largest norm of the gradient.
        precision: Lightning's precision; bf16-mixed and 16-mixed need CUDA.
        early_stopping_patience: None for none; otherwise a share of the training rows' chemical systems
            is kept for validation, a "train" stage ends when the loss on them has not fallen for this
            many epochs, and the weights of its best epoch go on.
        validation_share: share of the chemical systems kept for early stopping.
        stages: one after the other, each from the weights of the one before.
        start: run folder of an earlier `softlyte train` with the same network, tables, folds and at least as
            many members: the first stage of each member begins with that run's member, as it was before any
            stage over all rows. None for random weights.
    """

    batch_size: int = Field(512, ge=1)
    weight_decay: float = Field(1e-2, ge=0)
    scale_exponent: float = Field(0.5, ge=0, le=1)
    gradient_clip: float = Field(1.0, gt=0)
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    early_stopping_patience: int | None = Field(None, ge=1)
    validation_share: float = Field(0.05, gt=0, lt=1)
    stages: tuple[StageConfig, ...] = (
        StageConfig(name="joint", epochs=40, learning_rate=2e-3),
        StageConfig(name="refit", epochs=4, learning_rate=3e-4, rows="all"),
    )
    start: str | None = Field(None, exclude_if=lambda value: value is None)

    @field_validator("stages")
    @classmethod
    def _in_order(cls, value: tuple[StageConfig, ...]) -> tuple[StageConfig, ...]:
        kinds = [stage.rows for stage in value]
        if "train" not in kinds or kinds != sorted(kinds, reverse=True):
            raise ValueError(
                'there must be a stage with rows = "train", and those with rows = "all" come last'
            )
        names = [stage.name for stage in value]
        if len(set(names)) < len(names):
            raise ValueError(f"every stage needs a name of its own, not {', '.join(names)}")
        return value

    def stages_of(self, rows: Literal["train", "all"]) -> tuple[StageConfig, ...]:
        """Return the stages that see the training rows, or those that see all rows."""
        return tuple(stage for stage in self.stages if stage.rows == rows)


class EnsembleConfig(_Strict):
    """How many members, and where they are trained.

    Attributes:
        members: networks of the ensemble, a multiple of the folds. With no more members than folds a single
            one has not seen a row: there is no disagreement to calibrate the applicability on, which is then
            0 everywhere.
        processes: members that are trained at once on the CPU, each in a process of its own; with a GPU
            or several devices a member, one after the other.
        devices: GPUs (on the CPU: processes) that train one member together; each takes batches of
            `batch_size` of its own and the gradients are averaged.
        neighbours: the members that ship have not seen their fold; residual processes on its measured rows
            stand in for it (models.neighbour_layers). Needs stages without rows = "all".
    """

    members: int = Field(10, ge=1, le=64)
    processes: int = Field(2, ge=1, le=64)
    devices: int = Field(1, ge=1, le=64)
    neighbours: bool = Field(False, exclude_if=lambda value: not value)


class DataConfig(_Strict):
    """Tables, folds and weights.

    Attributes:
        tables: tables to learn from, keys of models.training_data.SOURCES.
        folds: parts of equal size by chemical system; member m never sees part m % folds before its
            evaluation.
        split_seed: of the folds.
        weights: weight of each target in the loss; 1 where not stated.
        published_until: learn from nothing that was, or may have been, published after this year; computed
            values have no year. None for no limit.
        leave_out: formulas that no row learned from may be of.
        leave_out_distance: nor may it be of a composition within this distance of one (half the sum of
            absolute differences of atomic fractions).
        own_data: folder of a laboratory's own measurements (softlyte.datasets.own.store), the source
            `own_measurements` in the stages' passes; None for none.
        own_data_sha256: state of that folder; `softlyte train` fills it in and refuses another state.
    """

    tables: tuple[str, ...] = DEFAULT_TABLES
    folds: int = Field(5, ge=2, le=32)
    split_seed: int = 0
    weights: dict[str, float] = {}
    published_until: int | None = Field(None, exclude_if=lambda value: value is None)
    leave_out: tuple[str, ...] = Field((), exclude_if=lambda value: not value)
    leave_out_distance: float = Field(0.0, ge=0, lt=1, exclude_if=lambda value: value == 0.0)
    own_data: str | None = Field(None, exclude_if=lambda value: value is None)
    own_data_sha256: str | None = Field(None, exclude_if=lambda value: value is None)

    @field_validator("tables")
    @classmethod
    def _known_tables(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        _all_in(value, SOURCES, "training table")
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

    @model_validator(mode="after")
    def _fits_together(self) -> TrainingConfig:
        members, folds = self.ensemble.members, self.data.folds
        if members % folds:
            raise ValueError(
                f"ensemble.members = {members} must be a multiple of data.folds = {folds}, "
                "so that every row is predicted by as many members that have not seen it"
            )
        if self.ensemble.neighbours and self.training.stages_of("all"):
            names = ", ".join(stage.name for stage in self.training.stages_of("all"))
            raise ValueError(
                f"ensemble.neighbours needs members that have not seen their fold; drop the stages with "
                f'rows = "all" ({names})'
            )
        if self.data.own_data is not None and self.data.published_until is not None:
            raise ValueError("own measurements have no year of publication; leave out data.published_until")
        for stage in self.training.stages:
            known = (*self.data.tables, DISTILLED, *([OWN] if self.data.own_data is not None else []))
            _all_in(stage.passes, known, f"table in data.tables for stage {stage.name}:")
        return self

    def with_own_data(self, folder: Path | str) -> TrainingConfig:
        """Return this configuration with a laboratory's own measurements as a further table.

        A stage whose passes do not name `own_measurements` draws them as often as `conductivity_cited`, the
        measured rows that they are most like; a stage that does not draw those leaves them out. Where no
        stage names that table they are drawn OWN_PASSES times.

        Raises UserError if the folder holds no measurements, or others than this configuration was made with.
        """
        place = Path(folder).expanduser().resolve()
        load_own(place)  # says what is wrong with the folder before any work
        state = state_sha256(place)
        if self.data.own_data_sha256 not in (None, state):
            raise ConfigError(
                f"the measurements in {place} have changed since this configuration was made; take "
                "own_data_sha256 out of it to train with them as they are now"
            )
        data = self.data.model_copy(update={"own_data": str(place), "own_data_sha256": state})
        listed = [stage.passes for stage in self.training.stages if stage.passes]
        like = any("conductivity_cited" in passes for passes in listed)

        def drawn(stage: StageConfig) -> StageConfig:
            if not stage.passes or OWN in stage.passes:
                return stage
            often = stage.passes.get("conductivity_cited") if like else OWN_PASSES
            more = {} if often is None else {OWN: often}
            return stage.model_copy(update={"passes": {**stage.passes, **more}})

        stages = tuple(drawn(stage) for stage in self.training.stages)
        training = self.training.model_copy(update={"stages": stages})
        return self.model_copy(update={"data": data, "training": training})


def load_config(path: Path | str) -> TrainingConfig:
    """Read and check a configuration: TOML, or a run's config.json; raises ConfigError with one sentence.

    A [tune] table is left to `softlyte tune`.
    """
    raw = read_document(Path(path))
    raw.pop("tune", None)
    return validated(TrainingConfig, raw, str(path))


def read_document(path: Path) -> dict[str, Any]:
    """Read a TOML or JSON file as it stands; raises ConfigError if it is missing or unreadable."""
    try:
        text = path.read_text(encoding="utf-8")
        raw = read_json(text) if path.suffix == ".json" else read_toml(text)
    except FileNotFoundError:
        raise ConfigError(f"there is no file {path}; give the path of a training TOML") from None
    except (OSError, UnicodeDecodeError, DocumentError) as error:
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise ConfigError(f"{path} is not readable {kind} ({error}); correct the file") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path} holds no configuration; give an object with network, training, ...")
    return raw


def validated(model: type[_Model], raw: object, where: str) -> _Model:
    """Check raw values against a model; raises ConfigError naming the first bad key."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        key, given = ".".join(str(part) for part in first["loc"]), first.get("input")
        # A rule over several keys is broken by a whole table, which is not worth repeating.
        shown = key if isinstance(given, dict | tuple | list) else f"{key} = {given!r}"
        what = f"{shown} is not usable ({first['msg']})" if key else first["msg"]
        raise ConfigError(f"{where}: {what}; correct that key") from None


def _all_in(names: object, known: object, what: str) -> None:
    unknown = [name for name in names if name not in known]  # type: ignore[attr-defined,operator]
    if unknown:
        raise ValueError(f"no {what} {', '.join(unknown)}; there are {', '.join(known)}")  # type: ignore[arg-type]


def _positive(values: dict[str, float], what: str) -> None:
    if any(not value > 0 for value in values.values()):
        raise ValueError(f"{what} must be above 0")
