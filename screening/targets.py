"""Targets: which conditions a material must meet, read from a TOML file.

A target compares one column with a value. Unknown is not good enough: a NaN never meets a target.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from softlyte.datasets.columns import COLUMNS
from softlyte.datasets.documents import DocumentError, read_toml
from softlyte.datasets.errors import UserError
from softlyte.screening.pressure import DEFAULT_PRESSURE_MPA, Conditions

FloatArray = NDArray[np.float64]
Comparison = Literal["<", "<=", ">=", ">"]

DRAWN_COLUMNS = (
    "poisson_ratio",
    "pugh_ratio",
    "hardness_tian_gpa",
    "yield_strength_gpa",
    "conductivity_kept",
    "sigma_at_pressure_ms_cm",
    "fabrication_pressure_mpa",
)
"""Columns judged by draws of the quantities that they follow from (`softlyte.screening.shared`)."""

TARGET_COLUMNS: Mapping[str, str] = {
    "youngs_modulus_gpa": "youngs_modulus_gpa",
    "bulk_modulus_gpa": "bulk_modulus_gpa",
    "shear_modulus_gpa": "shear_modulus_gpa",
    "hardness_gpa": "hardness_gpa",
    "glass_transition_k": "glass_transition_k",
    "log10_sigma_s_cm": "sigma_s_cm",
    "sigma_ms_cm": "sigma_s_cm",
    "oxidation_v": "oxidation_v",
    "reduction_v": "reduction_v",
    "formation_energy_ev_atom": "formation_energy_ev_atom",
    "e_above_hull_ev_atom": "e_above_hull_ev_atom",
    "density_g_cm3": "density_g_cm3",
    "stack_pressure_mpa": "stack_pressure_mpa",
    "cost_usd_kg": "cost_usd_kg",
    "cost_usd_l": "cost_usd_l",
    "cost_usd_m2": "cost_usd_m2",
    **{name: name for name in DRAWN_COLUMNS},
}
"""Columns that a target may name -> the distribution that it is judged by."""


class TargetError(UserError):
    """A targets file that cannot be used; the message names the place, the value and the remedy."""


class Target(BaseModel):
    """One condition, such as stack_pressure_mpa < 2.

    Attributes:
        column: one of TARGET_COLUMNS.
        comparison: `<`, `<=`, `>=` or `>`. For a continuous quantity `<` and `<=` have the same
            probability; they differ for a value that is exactly at the limit.
        value: in the column's unit, finite.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    column: str
    comparison: Comparison
    value: float = Field(allow_inf_nan=False)

    @field_validator("column")
    @classmethod
    def _known(cls, name: str) -> str:
        if name in TARGET_COLUMNS:
            return name
        if name in COLUMNS:
            raise ValueError(f"no target can be set on {name!r}; choose one of {', '.join(TARGET_COLUMNS)}")
        nearest = get_close_matches(name, TARGET_COLUMNS, n=1, cutoff=0.0)[0]
        raise ValueError(f"there is no column {name!r}; did you mean {nearest!r}?")

    @property
    def wants_low(self) -> bool:
        """True if smaller is better."""
        return self.comparison in ("<", "<=")

    def met(self, values: FloatArray) -> NDArray[np.bool_]:
        """Tell which values meet the target, [N]; NaN never does."""
        compare = {"<": np.less, "<=": np.less_equal, ">=": np.greater_equal, ">": np.greater}[
            self.comparison
        ]
        with np.errstate(invalid="ignore"):
            return np.asarray(compare(values, self.value), dtype=bool)

    def __str__(self) -> str:
        return f"{self.column} {self.comparison} {self.value:g}"


class Targets(BaseModel):
    """The conditions that must all hold.

    Attributes:
        target: at least one, no column twice with the same direction.
        conditions: use temperature, wanted contact, electrode and operating pressure.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    target: tuple[Target, ...] = Field(min_length=1)
    conditions: Conditions = Conditions()

    @model_validator(mode="after")
    def _distinct(self) -> Targets:
        seen = [(t.column, t.wants_low) for t in self.target]
        for column, low in seen:
            if seen.count((column, low)) > 1:
                side = "upper" if low else "lower"
                raise ValueError(f"{column} has two {side} limits; keep the stricter one")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the targets, in order."""
        return tuple(t.column for t in self.target)

    def pressure_mpa(self) -> float:
        """Return the stack-pressure limit that `p_below_target_pressure` refers to.

        The limit of the file, or that of the shipped targets (2 MPa) if the file sets none.
        """
        for target in self.target:
            if target.column == "stack_pressure_mpa" and target.wants_low:
                return target.value
        return DEFAULT_PRESSURE_MPA

    def working_conditions(self) -> Conditions:
        """Return the conditions with the operating pressure filled in: the stack-pressure limit if not given.

        A pellet's conductivity is that at this pressure.
        """
        if self.conditions.pressure_mpa is not None:
            return self.conditions
        return replace(self.conditions, pressure_mpa=self.pressure_mpa())


def load_targets(path: Path | str | None = None) -> Targets:
    """Return the targets of a TOML file (None: the shipped defaults).

    Raises TargetError if the file is missing, is not TOML, or breaks the schema.
    """
    file = Path(__file__).resolve().parent / "targets" / "default.toml" if path is None else Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise TargetError(
            f"the targets file {file} cannot be read ({error.strerror or error}); check the path"
        ) from error
    except UnicodeDecodeError as error:
        raise TargetError(f"the targets file {file} is not UTF-8 text; save it as UTF-8") from error
    try:
        content = read_toml(text)
    except DocumentError as error:
        raise TargetError(
            f"the targets file {file} is not valid TOML ({error}); compare it with the shipped default"
        ) from error
    return make_targets(content, where=f"the targets file {file}")


def make_targets(content: Mapping[str, Any], where: str = "the targets") -> Targets:
    """Return targets from plain data, {"target": [{"column": ..., "comparison": ..., "value": ...}]}.

    Raises TargetError with one sentence on the first problem.
    """
    try:
        return Targets.model_validate(content)
    except ValidationError as error:
        raise TargetError(f"{where}: {_sentence(error)}") from error


def _conditions_sentence(kind: str, place: tuple[int | str, ...], message: str, value: object) -> str:
    known = ", ".join(field.name for field in fields(Conditions))
    if kind == "unexpected_keyword_argument":
        return f"there is no condition {str(place[1])!r}; use {known}"
    if kind == "value_error":
        return message
    if len(place) > 1:
        return (
            f"the condition {place[1]} has the value {value!r}; give a number (alkali_metal: true or false)"
        )
    return f"conditions must be a table [conditions] with {known}"


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    place = first["loc"]
    message = first["msg"].removeprefix("Value error, ")
    if not place:
        return message
    if place[0] == "conditions":
        return _conditions_sentence(first["type"], place, message, first["input"])
    if place[0] != "target":
        return f"there is no setting {place[0]!r}; use only [[target]] and [conditions]"
    if len(place) == 1:
        return "there is no [[target]]; give at least one with column, comparison and value"
    number = f"target {int(place[1]) + 1}"
    if len(place) == 2:
        return f"{number} must be a [[target]] with column, comparison and value"
    field = str(place[2])
    if first["type"] == "missing":
        return f"{number} has no {field}; add it"
    if first["type"] == "extra_forbidden":
        return f"{number} has an unknown entry {field!r}; use column, comparison and value"
    if field == "comparison":
        return f"{number} has the comparison {first['input']!r}; use one of < <= >= >"
    if field == "value":
        return f"{number} has the value {first['input']!r}; give a finite number"
    return f"{number}: {message}"
