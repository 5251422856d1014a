"""What a space file may contain: the schema, and errors as sentences.

Pydantic checks the file; every mistake becomes one sentence that names file, key, value and remedy.
"""

from __future__ import annotations

import difflib
import re
import types
import typing
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    model_validator,
)

from softlyte.datasets.errors import UserError
from softlyte.datasets.formulas import symbols
from softlyte.screening.element_policy import ElementPolicy, check_element
from softlyte.screening.stoichiometry import Amounts, parse_amounts

SLOT_NAME = re.compile(r"^[A-Z]'*$")
"""A slot is a capital letter that is no element, with primes: A, M, M', X."""

_SHOWN = 80
"""Longest value that a message repeats."""


class SpaceError(UserError):
    """A space file that cannot be used: one sentence for each mistake, with file, key, value, remedy."""


def mistake(source: str, key: str, value: object, problem: str, remedy: str) -> SpaceError:
    """Return the error of one mistake."""
    shown = str(value) if isinstance(value, Decimal) else repr(value)
    shown = shown if len(shown) <= _SHOWN else shown[: _SHOWN - 3] + "..."
    return SpaceError(f"{source}: the key `{key}` has the value {shown}, but {problem}; {remedy}")


def is_slot_name(name: str) -> bool:
    """Tell whether a name is a slot (A, M, M', X) rather than an element (O, Zr)."""
    return bool(SLOT_NAME.match(name)) and name[0] not in symbols()


def _slot_or_element(name: object) -> str:
    if isinstance(name, str) and (is_slot_name(name) or name in symbols()[1:]):
        return name
    letters = "A, D, E, G, J, L, M, Q, R, T, X, Z"
    raise ValueError(f"{name!r} is no slot name; use an element or one of {letters} with primes (M, M')")


def _charges(value: object) -> tuple[int, ...]:
    numbers = value if isinstance(value, list) else [value]
    if not numbers or not all(isinstance(q, int) and not isinstance(q, bool) and q for q in numbers):
        raise ValueError("it is no oxidation state; write a whole number like 3, or a list like [2, 3]")
    return tuple(dict.fromkeys(numbers))


def _names(value: object) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(n, str) and n for n in names):
        raise ValueError('it names no species; write a group like "halogen" or a list like ["Zr4+", "Hf"]')
    return tuple(names)


Species = Annotated[tuple[str, ...], BeforeValidator(_names)]
AmountField = Annotated[Amounts, PlainValidator(parse_amounts)]
States = Annotated[tuple[int, ...], BeforeValidator(_charges)]
ElementName = Annotated[str, BeforeValidator(check_element)]
SlotName = Annotated[str, BeforeValidator(_slot_or_element)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Limits(_Strict):
    """Limits on the composition; a limit left out does not apply.

    "Framework" means the cations other than the mobile ion; amounts are atoms. `max_atoms` counts the
    smallest whole-number formula (Li3YCl6: 10), `mobile_fraction` is the mobile ion's share of all atoms.
    """

    max_atoms: int | None = Field(default=None, ge=2)
    min_mobile_fraction: float | None = Field(default=None, ge=0, le=1)
    max_mobile_fraction: float | None = Field(default=None, ge=0, le=1)
    min_mobile_per_framework: float | None = Field(default=None, ge=0)
    max_mobile_per_framework: float | None = Field(default=None, gt=0)
    max_anions_per_framework: float | None = Field(default=None, gt=0)
    max_oxygen_per_framework: float | None = Field(default=None, gt=0)
    max_oxygen_per_halogen: float | None = Field(default=None, gt=0)

    def overridden_by(self, other: Limits | None) -> Limits:
        """Return these limits with the ones that `other` states put in their place."""
        stated = other.model_dump(exclude_none=True) if other else {}
        return self.model_copy(update=stated)


class GlassFormers(_Strict):
    """Cations that build a glass network, for each kind of anion sublattice."""

    oxyhalide: tuple[ElementName, ...] = ()
    mixed_halide: tuple[ElementName, ...] = ()
    fluoride: tuple[ElementName, ...] = ()
    chloride: tuple[ElementName, ...] = ()
    bromide: tuple[ElementName, ...] = ()
    iodide: tuple[ElementName, ...] = ()


class GlassRule(_Strict):
    """When a composition is a plausible glass and gets both phases.

    Glass formers for its anions must make up at least `min_former_share` of the framework cations, with
    at most `max_mobile_per_former` mobile ions to each of them.
    """

    min_former_share: float = Field(default=0.5, gt=0, le=1)
    max_mobile_per_former: float = Field(default=3.0, gt=0)
    formers: GlassFormers = GlassFormers()


class Slot(_Strict):
    """One place of a family: which species may fill it, and how much of it."""

    species: Species | None = None
    amount: AmountField


class SlotTotal(_Strict):
    """The amounts of these slots (or end members) add up to one of the given amounts."""

    of: Species
    amount: AmountField


class Family(_Strict):
    """A stoichiometric family such as A_a M_m X_x; amounts that do not balance in charge are left out."""

    name: str = Field(min_length=1)
    covers: str = Field(min_length=1)
    slots: dict[SlotName, Slot] = Field(min_length=2)
    totals: tuple[SlotTotal, ...] = ()
    limits: Limits | None = None

    @model_validator(mode="after")
    def _one_balance(self) -> Family:
        free = [name for name, slot in self.slots.items() if slot.amount.balances]
        if len(free) > 1:
            raise ValueError(f'the slots {", ".join(free)} all balance; let one slot have amount = "balance"')
        for total in self.totals:
            _check_total(total, self.slots, free)
        for name, slot in self.slots.items():
            if slot.species is None and is_slot_name(name):
                raise ValueError(f'the slot {name} names no species; add species = "cations", for example')
        return self


class EndMember(_Strict):
    """One precursor of a mixture, its formula written with slots or elements, and its moles."""

    formula: str = Field(min_length=1)
    amount: AmountField


class Mixture(_Strict):
    """Precursors mixed on a grid, such as x Li2O - y ZrCl4 - z AlCl3."""

    covers: str = Field(min_length=1)
    end_members: tuple[EndMember, ...] = Field(min_length=2)
    slots: dict[SlotName, Species] = {}
    totals: tuple[SlotTotal, ...] = ()
    limits: Limits | None = None

    @property
    def name(self) -> str:
        """The mixture as its end members, for example A2O-MX4-M'X3."""
        return "-".join(member.formula for member in self.end_members)

    @model_validator(mode="after")
    def _no_balance(self) -> Mixture:
        formulas = [member.formula for member in self.end_members]
        for member in self.end_members:
            if member.amount.balances:
                raise ValueError(f"the end member {member.formula} is neutral by itself; give it an amount")
        if len(set(formulas)) < len(formulas):
            raise ValueError("an end member is given twice; give each once")
        for total in self.totals:
            _check_total(total, formulas, [])
        return self


def _check_total(total: SlotTotal, names: typing.Collection[str], free: list[str]) -> None:
    for name in total.of:
        if name not in names:
            raise ValueError(f"a total names {name!r}, which is not there; use one of {', '.join(names)}")
        if name in free:
            raise ValueError(f"a total names {name}, whose amount balances; leave it out of the total")
    if total.amount.balances:
        raise ValueError("a total cannot balance; give it an amount")


class Incompatible(_Strict):
    """Two species that react with each other and never share a composition, such as Fe3+ and I."""

    pair: tuple[str, str]


class SpaceFile(_Strict):
    """A whole space file."""

    name: str = Field(min_length=1)
    description: str = ""
    exclude_policies: tuple[str, ...] = ()
    exclude_elements: tuple[ElementName, ...] = ()
    mobile_ions: dict[ElementName, States] = Field(min_length=1)
    cations: dict[ElementName, States] = Field(min_length=1)
    anions: dict[ElementName, States] = Field(min_length=1)
    groups: dict[str, Species] = {}
    incompatible: tuple[Incompatible, ...] = ()
    policies: dict[str, ElementPolicy] = {}
    limits: Limits = Limits()
    glass: GlassRule = GlassRule()
    families: tuple[Family, ...] = ()
    mixtures: tuple[Mixture, ...] = ()


def validate_space_file(content: dict[str, Any], source: str) -> SpaceFile:
    """Check a parsed space file; raises SpaceError with one sentence for each mistake."""
    try:
        return SpaceFile.model_validate(content)
    except ValidationError as error:
        entries: list[dict[str, Any]] = [dict(entry) for entry in error.errors(include_url=False)]
        misspelt = {_meant(e["loc"]) for e in entries if e["type"] == "extra_forbidden"}
        # A misspelt key is one mistake, not an unknown key and a missing one.
        kept = [e for e in entries if e["type"] != "missing" or e["loc"] not in misspelt]
        raise SpaceError("\n".join(dict.fromkeys(_sentence(source, e) for e in kept))) from None


def _sentence(source: str, entry: dict[str, Any]) -> str:
    location = tuple(part for part in entry["loc"] if part != "[key]")
    key = _dotted(location)
    kind, value = entry["type"], entry["input"]
    if kind == "missing":
        return f"{source}: the key `{key}` is missing; add it"
    if kind == "extra_forbidden":
        meant = _meant(location)
        known = ", ".join(_known_keys(location[:-1]))
        remedy = f"did you mean `{meant[-1]}`?" if meant else f"remove it or use one of {known}"
        return f"{source}: the key `{key}` with the value {value!r} is not known; {remedy}"
    if kind == "value_error":
        problem, _, remedy = str(entry["ctx"]["error"]).partition("; ")
        if isinstance(value, dict) and len(repr(value)) > _SHOWN:
            return f"{source}: in `{key}` {problem}; {remedy}"
        return str(mistake(source, key, value, problem, remedy))
    message = str(entry["msg"])
    return str(mistake(source, key, value, message[0].lower() + message[1:], "change it accordingly"))


def _meant(location: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the place of the known key that a misspelt one resembles, empty if none."""
    close = difflib.get_close_matches(str(location[-1]), _known_keys(location[:-1]), n=1)
    return (*location[:-1], close[0]) if close else ()


def _dotted(location: tuple[Any, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".") or "the file"


def _known_keys(location: tuple[Any, ...]) -> list[str]:
    """Return the keys that the schema allows at a location."""
    model: Any = SpaceFile
    for part in location:
        if isinstance(part, str) and isinstance(model, type) and issubclass(model, BaseModel):
            field = model.model_fields.get(part)
            model = field.annotation if field else None
        else:
            # A position in a list or a name in a table: step to what it holds.
            arguments = typing.get_args(model)
            model = (
                arguments[-1] if arguments and arguments[-1] is not Ellipsis else (arguments or (None,))[0]
            )
        while typing.get_origin(model) in (types.UnionType, typing.Union, Annotated):
            model = next(a for a in typing.get_args(model) if a is not type(None))
    if isinstance(model, type) and issubclass(model, BaseModel):
        return list(model.model_fields)
    return []
