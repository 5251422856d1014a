"""What to ask the Materials Project for: chemical systems, formulas, ids, checked before anything is sent."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softlyte.datasets.errors import UserError
from softlyte.datasets.formulas import Compositions, normalise_formula, symbols

FUNCTIONALS = {"PBE": "GGA_GGA+U", "R2SCAN": "R2SCAN"}
"""Functional and what the Materials Project calls its energies; the two never share a hull."""

MAX_ELEMENTS = 9
"""Of a chemical system with its subsystems: 511 systems, what the server's addresses can hold."""

_AT_ONCE = 100  # systems, formulas or ids in one request: its address stays below 8 kB
_ID = re.compile(r"(mp|mvc)-[0-9a-z]+")
_SYSTEM = re.compile(r"[A-Z][a-z]?(-([A-Z][a-z]?|\*))*|\*(-([A-Z][a-z]?|\*))+")


class QueryError(UserError):
    """A query that cannot be asked; the message names the word and the remedy."""


@dataclass(frozen=True)
class Query:
    """What is asked for.

    Attributes:
        systems: chemical systems such as "Cl-Li-Y", alphabetical, each asked for by itself.
        patterns: systems with `*` for any element.
        formulas: reduced formulas.
        ids: material ids.
        functional: a key of FUNCTIONALS: whose energies.
    """

    systems: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    formulas: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    functional: str = "PBE"

    @classmethod
    def of(cls, words: Iterable[str], functional: str = "PBE", subsystems: bool = True) -> Query:
        """Understand words: `Li-Y-Cl` and `Li-*-Cl` are systems, `mp-149` an id, others are formulas.

        Args:
            words: what a person writes.
            functional: PBE (GGA and GGA+U as the Materials Project mixes them) or R2SCAN.
            subsystems: ask for every subsystem of a system too, as a hull needs.

        Raises:
            QueryError: no word, one that is none of the three, or an unknown functional.
        """
        if functional.upper() not in FUNCTIONALS:
            raise QueryError(
                f"the Materials Project serves no unmixed energies of {functional!r}; "
                f"choose {' or '.join(FUNCTIONALS)}"
            )
        systems: set[str] = set()
        patterns: set[str] = set()
        formulas: set[str] = set()
        ids: set[str] = set()
        for word in (text.strip() for text in words):
            if _ID.fullmatch(word):
                ids.add(word)
            elif "-" in word:
                elements = _elements(word)
                if "*" in elements:
                    patterns.add("-".join(elements))
                elif subsystems:
                    systems |= _subsystems(elements)
                else:
                    systems.add("-".join(elements))
            else:
                formulas.add(_formula(word))
        if not systems | patterns | formulas | ids:
            raise QueryError(
                "nothing was asked for; name a chemical system (Li-Y-Cl), formula (Li3YCl6) or id (mp-149)"
            )
        return cls(
            tuple(sorted(systems)),
            tuple(sorted(patterns)),
            tuple(sorted(formulas)),
            tuple(sorted(ids)),
            functional.upper(),
        )

    def criteria(self) -> list[dict[str, str]]:
        """Return what each request filters by: a few of them hold everything."""
        found = [{"chemsys": ",".join(part)} for part in batched(self.systems)]
        found += [{"chemsys": pattern} for pattern in self.patterns]  # the server takes one at a time
        found += [{"formula": ",".join(part)} for part in batched(self.formulas)]
        return found + [{"material_ids": ",".join(part)} for part in batched(self.ids)]

    def record(self) -> dict[str, Any]:
        """Return the query as it stands in the card."""
        parts = {
            "chemical_systems": [*self.systems, *self.patterns],
            "formulas": list(self.formulas),
            "mp_ids": list(self.ids),
        }
        return {name: part for name, part in parts.items() if part} | {"functional": self.functional}


def read_query(path: Path | str) -> list[str]:
    """Return the words of a text file, one a line; blank lines and what follows a # are left out.

    Raises:
        QueryError: no such file, or no text.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise QueryError(f"there is no file {path}; check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise QueryError(f"the file {path} cannot be read as text ({error}); write one word a line") from None
    return [word for line in lines if (word := line.partition("#")[0].strip())]


def batched(items: Sequence[str]) -> list[Sequence[str]]:
    """Return the items in parts that one request can hold."""
    return [items[start : start + _AT_ONCE] for start in range(0, len(items), _AT_ONCE)]


def _elements(word: str) -> list[str]:
    elements = sorted(set(word.split("-")), key=lambda e: (e == "*", e)) if _SYSTEM.fullmatch(word) else []
    # Stars stay as many as they are: Li-*-* is a ternary system.
    elements += ["*"] * (word.split("-").count("*") - 1) if "*" in elements else []
    unknown = [e for e in elements if e != "*" and e not in symbols()[1:]]
    if not elements or unknown:
        named = f" ({', '.join(unknown)} is no element)" if unknown else ""
        raise QueryError(
            f"the chemical system {word!r} cannot be read{named}; write it like Li-Y-Cl or Li-*-Cl"
        )
    if len(elements) > MAX_ELEMENTS:
        raise QueryError(
            f"the chemical system {word!r} has {len(elements)} elements; ask for at most {MAX_ELEMENTS}"
        )
    return elements


def _subsystems(elements: Sequence[str]) -> set[str]:
    """Return every system of some of the elements; they must be sorted."""
    return {
        "-".join(part)
        for count in range(1, len(elements) + 1)
        for part in itertools.combinations(elements, count)
    }


def _formula(word: str) -> str:
    formula = normalise_formula(word)
    amounts = Compositions.from_formulas([formula]).amounts
    if (amounts % 1 != 0).any():
        raise QueryError(
            f"the formula {word!r} has fractional amounts, and the Materials Project holds ordered crystals "
            "alone; give whole numbers or its chemical system"
        )
    return formula
