"""Formulas as arrays: parsing, normal form, identity.

Every floor speaks of compositions through `Compositions`: two arrays that hold any number of
formulas without a Python object each. Strings are parsed by pymatgen once and written back only
where a person reads them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition, Element

from softlyte.datasets.errors import UserError

DECIMALS = 4
"""Fractional subscripts are kept to this many decimals."""

_SCALE = 10**DECIMALS
MAX_ATOMIC_NUMBER = 103


class FormulaError(UserError):
    """A formula that cannot be read; the message names the formula and the remedy."""


@lru_cache(maxsize=1)
def symbols() -> tuple[str, ...]:
    """Return element symbols by atomic number; index 0 is the empty padding symbol."""
    return ("", *(Element.from_Z(z).symbol for z in range(1, MAX_ATOMIC_NUMBER + 1)))


@lru_cache(maxsize=1)
def _writing_order() -> NDArray[np.int64]:
    """Rank of each atomic number when a formula is written: pymatgen's electronegativity order."""
    elements = [Element.from_Z(z) for z in range(1, MAX_ATOMIC_NUMBER + 1)]
    with warnings.catch_warnings():
        # Noble gases have no electronegativity: pymatgen warns and gives NaN; they are written last.
        warnings.simplefilter("ignore")
        ordered = sorted(elements, key=lambda e: (e.X if e.X == e.X else 10.0, e.symbol))
    rank = np.zeros(MAX_ATOMIC_NUMBER + 1, dtype=np.int64)
    for position, element in enumerate(ordered):
        rank[element.Z] = position
    return rank


@dataclass(frozen=True)
class Compositions:
    """N compositions as two padded arrays, the currency between all floors.

    Attributes:
        atomic_numbers: [N, M] uint8; atomic numbers ascending in each row, 0 where padded (at the end).
        amounts: [N, M] float64; atoms per formula unit as written, 0.0 where padded.
    """

    atomic_numbers: NDArray[np.uint8]
    amounts: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.atomic_numbers.shape != self.amounts.shape or self.atomic_numbers.ndim != 2:
            raise ValueError(
                f"atomic_numbers {self.atomic_numbers.shape} and amounts {self.amounts.shape} "
                "must be the same [N, M] shape"
            )

    def __len__(self) -> int:
        return len(self.atomic_numbers)

    def __getitem__(self, rows: slice | NDArray[np.int64] | NDArray[np.bool_]) -> Compositions:
        """Return the chosen rows (slice, index array or mask) as new Compositions."""
        return Compositions(self.atomic_numbers[rows], self.amounts[rows])

    @classmethod
    def from_formulas(cls, formulas: Iterable[str]) -> Compositions:
        """Parse formulas with pymatgen; raises FormulaError naming the first that cannot be read."""
        parsed = [_parse(text) for text in formulas]
        width = max((len(z) for z, _ in parsed), default=1)
        numbers = np.zeros((len(parsed), width), dtype=np.uint8)
        amounts = np.zeros((len(parsed), width), dtype=np.float64)
        for row, (z, n) in enumerate(parsed):
            numbers[row, : len(z)] = z
            amounts[row, : len(n)] = n
        return cls(numbers, amounts)

    @classmethod
    def concatenate(cls, parts: Sequence[Compositions]) -> Compositions:
        """Stack several Compositions, padding to the widest."""
        width = max((p.atomic_numbers.shape[1] for p in parts), default=1)

        def widen(a: NDArray) -> NDArray:
            return np.pad(a, ((0, 0), (0, width - a.shape[1])))

        if not parts:
            return cls(np.zeros((0, 1), np.uint8), np.zeros((0, 1)))
        return cls(
            np.concatenate([widen(p.atomic_numbers) for p in parts]),
            np.concatenate([widen(p.amounts) for p in parts]),
        )

    @classmethod
    def from_table(cls, atomic_numbers: Sequence[int], amounts: NDArray) -> Compositions:
        """Build from a wide table of amounts.

        Args:
            atomic_numbers: C distinct atomic numbers, one for each column.
            amounts: [N, C] atoms of each element, 0 where absent.
        """
        order = np.argsort(np.asarray(atomic_numbers))
        z = np.asarray(atomic_numbers, dtype=np.uint8)[order]
        wide = np.asarray(amounts, dtype=np.float64)[:, order]
        present = wide > 0
        width = int(present.sum(axis=1).max(initial=1))
        # A stable sort on "absent" moves present elements to the front and keeps them ascending.
        front = np.argsort(~present, axis=1, kind="stable")[:, :width]
        picked = np.take_along_axis(wide, front, axis=1)
        return cls(np.where(picked > 0, z[front], 0).astype(np.uint8), picked)

    def fractions(self) -> NDArray[np.float64]:
        """Return atomic fractions, [N, M], each row summing to 1."""
        return self.amounts / self.amounts.sum(axis=1, keepdims=True)

    def amount_of(self, element: str) -> NDArray[np.float64]:
        """Return atoms of one element per formula unit, [N], 0 where absent."""
        return np.where(self.atomic_numbers == Element(element).Z, self.amounts, 0.0).sum(axis=1)

    def masses(self) -> NDArray[np.float64]:
        """Return the molar mass of each formula unit, [N], in g/mol (pymatgen's atomic masses)."""
        return (atomic_masses()[self.atomic_numbers] * self.amounts).sum(axis=1)

    def integer_amounts(self) -> NDArray[np.int64]:
        """Return the smallest whole-number amounts, [N, M] (4 decimals of the written ones kept)."""
        whole = np.rint(self.amounts * _SCALE).astype(np.int64)
        divisor = np.gcd.reduce(whole, axis=1)
        return whole // np.maximum(divisor, 1)[:, None]

    def keys(self) -> NDArray[np.void]:
        """Return one opaque value a row, equal exactly where the reduced compositions are equal, [N].

        Rows of differing padding compare equal; use with numpy.unique or pandas.
        """
        reduced = self.integer_amounts()
        width = 16
        if reduced.shape[1] > width:
            raise ValueError(f"compositions of more than {width} elements have no key")
        packed = np.zeros((len(self), 2 * width), dtype=np.uint32)
        packed[:, : reduced.shape[1]] = self.atomic_numbers
        packed[:, width : width + reduced.shape[1]] = reduced
        return packed.view(np.dtype((np.void, packed.dtype.itemsize * 2 * width))).ravel()

    def groups(self) -> NDArray[np.int64]:
        """Return a number for each row, [N]: the same exactly where the reduced compositions are equal."""
        packed = np.concatenate([self.atomic_numbers.astype(np.uint32), self.integer_amounts()], axis=1)
        rows = np.ascontiguousarray(packed.astype(np.uint32))
        keys = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
        return np.unique(keys, return_inverse=True)[1].ravel()

    def formulas(self) -> list[str]:
        """Write each row as a formula: electronegativity order, whole numbers reduced, 1 left out."""
        return list(self._written())

    def _written(self) -> Iterator[str]:
        names, rank = symbols(), _writing_order()
        rounded = np.rint(self.amounts * _SCALE).astype(np.int64)
        whole = (rounded % _SCALE == 0).all(axis=1)
        reduced = self.integer_amounts()
        # Padding (atomic number 0) is written last and skipped.
        order = np.argsort(np.where(self.atomic_numbers > 0, rank[self.atomic_numbers], 10**6), axis=1)
        for row in range(len(self)):
            text = []
            for column in order[row]:
                z = self.atomic_numbers[row, column]
                if z == 0:
                    break
                if whole[row]:
                    n = str(reduced[row, column])
                else:
                    n = f"{rounded[row, column] / _SCALE:.{DECIMALS}f}".rstrip("0").rstrip(".")
                text.append(names[z] + ("" if n == "1" else n))
            yield "".join(text)


@lru_cache(maxsize=1)
def atomic_masses() -> NDArray[np.float64]:
    """Return atomic masses by atomic number in g/mol, index 0 is 0 (source: pymatgen)."""
    masses = [float(Element.from_Z(z).atomic_mass) for z in range(1, MAX_ATOMIC_NUMBER + 1)]
    return np.array([0.0, *masses])


def _parse(text: str) -> tuple[list[int], list[float]]:
    remedy = "write it like Li3YCl6 or LiAlCl2.5O0.75"
    if not isinstance(text, str) or not text.strip():
        raise FormulaError(f"the formula {text!r} is empty; {remedy}")
    try:
        composition = Composition(text.strip(), strict=True)
    except Exception as error:  # pymatgen raises several unrelated types
        # Bytes of the formula that are no UTF-8 could not be written into any file of results.
        said = str(error).encode("utf-8", "backslashreplace").decode("utf-8")
        raise FormulaError(f"the formula {text!r} cannot be read ({said}); {remedy}") from error
    pairs = sorted((e.Z, n) for e, n in composition.items() if n > 0)
    if not pairs:
        raise FormulaError(f"the formula {text!r} holds no atoms; {remedy}")
    numbers, amounts = [z for z, _ in pairs], [round(n, DECIMALS) for _, n in pairs]
    if max(numbers) > MAX_ATOMIC_NUMBER or not np.isfinite(amounts).all() or min(amounts) <= 0:
        raise FormulaError(
            f"the formula {text!r} has an unknown element or an amount below 10^-{DECIMALS}; {remedy}"
        )
    return numbers, amounts


def normalise_formula(text: str) -> str:
    """Return the written normal form of one formula; raises FormulaError with the reason."""
    return Compositions.from_formulas([text]).formulas()[0]


def chemical_systems(compositions: Compositions) -> list[str]:
    """Return each row's chemical system, for example 'Al-Cl-Li-O' (alphabetical)."""
    names = symbols()
    unique, inverse = np.unique(compositions.atomic_numbers, axis=0, return_inverse=True)
    written = ["-".join(sorted(names[z] for z in row if z)) for row in unique]
    return [written[i] for i in inverse.ravel()]
