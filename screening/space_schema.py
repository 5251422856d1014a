"""What a space file may contain: the schema, and the part of a file with mistakes that can be read on."""

from __future__ import annotations

import re
import typing
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

from softlyte.datasets.formulas import Compositions, FormulaError, symbols
from softlyte.screening.element_policy import ElementPolicy, check_element
from softlyte.screening.space_mistakes import Mistakes, schema_sentences
from softlyte.screening.stoichiometry import Amounts, parse_amounts

SLOT_NAME = re.compile(r"^[A-Z]'*$")
"""A slot is a capital letter that is no element, with primes: A, M, M', X."""


LARGEST_CHARGE = 9
"""No element has an oxidation state beyond this (iridium's, in IrO4+, is the highest)."""


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
    if not numbers or not all(type(q) is int and 0 < abs(q) <= LARGEST_CHARGE for q in numbers):
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


class Replacement(_Strict):
    """What takes part of one site of a parent: `site` names the parent's species, `by` what comes instead.

    `amount` counts atoms in one formula unit of the parent, as the parent is written.
    """

    site: Species
    by: Species
    amount: AmountField


def _parents(value: object) -> tuple[str, ...]:
    names = _names(value)
    for name in names:
        try:
            Compositions.from_formulas([name])
        except FormulaError as error:
            raise ValueError(str(error)) from None
    return names


class Substitution(_Strict):
    """A substitution series around named parents, such as Li3-xY1-xZrxCl6 around Li3YCl6.

    The species `balance` (the mobile ion, unless stated) takes up the difference in charge: its amount grows
    or shrinks until the formula is neutral. What a site loses to its substitutes never empties it.
    """

    covers: str = Field(min_length=1)
    parents: Annotated[tuple[str, ...], BeforeValidator(_parents)]
    replace: tuple[Replacement, ...] = Field(min_length=1)
    balance: Species = ("mobile_ions",)
    limits: Limits | None = None

    @model_validator(mode="after")
    def _stated_amounts(self) -> Substitution:
        for entry in self.replace:
            if entry.amount.balances:
                raise ValueError(
                    f"the amount of {', '.join(entry.by)} balances; state it, and name in `balance` the "
                    "species of the parent that takes up the charge"
                )
        return self


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
    substitutions: tuple[Substitution, ...] = ()


ENTRIES = ("families", "mixtures", "substitutions")
"""Tables of a space file that hold candidates; the other tables declare what these stand on."""

_APART = ("name", "description", "limits", "glass")
"""Keys whose mistakes leave the meaning of everything else as it is."""


class ReadFile(typing.NamedTuple):
    """A space file as far as it can be read.

    Attributes:
        spec: the checked content, without the entries that hold mistakes.
        numbers: for each of ENTRIES the numbers, from 1, of the entries that are left.
        whole: False if something was left out.
    """

    spec: SpaceFile
    numbers: dict[str, list[int]]
    whole: bool


def read_space_file(content: dict[str, Any], source: str, mistakes: Mistakes) -> ReadFile | None:
    """Check a parsed space file against the schema and note its mistakes, a sentence for each.

    Returns what can be checked further; None where the declarations hold mistakes, on which the meaning of
    everything else depends.
    """
    numbers = {key: list(range(1, len(_listed(content, key)) + 1)) for key in ENTRIES}
    try:
        return ReadFile(SpaceFile.model_validate(content), numbers, True)
    except ValidationError as error:
        mistakes.add(*schema_sentences(SpaceFile, error, source))
        places = [entry["loc"] for entry in error.errors(include_url=False)]
    sound: dict[str, Any] = {"name": "?"} | content
    for first, *rest in places:
        if first in ENTRIES and rest and isinstance(rest[0], int):
            numbers[first] = [n for n in numbers[first] if n != rest[0] + 1]
        elif first in ENTRIES:
            sound[first], numbers[first] = [], []
        elif first in _APART or first not in SpaceFile.model_fields:
            sound.pop(str(first), None)
        else:
            return None
    sound = {"name": "?"} | sound
    for key in ENTRIES:
        sound[key] = [_listed(sound, key)[n - 1] for n in numbers[key]]
    try:
        return ReadFile(SpaceFile.model_validate(sound), numbers, False)
    except ValidationError:
        return None


def _listed(content: dict[str, Any], key: str) -> list[Any]:
    value = content.get(key, [])
    return value if isinstance(value, list) else []
