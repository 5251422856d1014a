"""A solid that the user knows better than the networks: its structure, its calculated or measured moduli."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pymatgen.analysis.elasticity import ElasticTensor

from softlyte.datasets.documents import read_json
from softlyte.featurize.crystal_files import read_crystal_files
from softlyte.featurize.crystals import Crystals
from softlyte.models.predictions import PropertyPrediction, youngs_modulus
from softlyte.screening.inputs import InputError
from softlyte.screening.parameters import parameter

Sample = Literal["dense", "pellet"]

ASSUMED_PERCENT = 10.0
"""Standard deviation of moduli whose uncertainty is not stated; an assumption, and the report says so."""

_MODULUS_RANGE_GPA = (1e-3, 2e3)
"""From gels to diamond, both excluded: a value outside is in another unit."""
_ASYMMETRY = 0.02
"""Share of the largest constant by which a tensor may differ from its transpose."""


@dataclass(frozen=True)
class OwnCrystal:
    """What a structure file says.

    Attributes:
        name: of the file.
        formula: reduced; partial occupancies make fractional subscripts.
        density_g_cm3: from cell and contents.
        volume_a3_atom: cell volume per atom, cubic angstrom.
        crystal: the structure, one.
    """

    name: str
    formula: str
    density_g_cm3: float
    volume_a3_atom: float
    crystal: Crystals

    def __str__(self) -> str:
        """Return a sentence for a report."""
        return f"Structure {self.name}: {self.density_g_cm3:.3g} g/cm3, {self.volume_a3_atom:.3g} A3 an atom"


@dataclass(frozen=True)
class OwnModuli:
    """Bulk and shear modulus of one solid.

    Attributes:
        bulk_gpa, shear_gpa: isotropic averages (Voigt-Reuss-Hill of a tensor).
        percent: standard deviation of either, in per cent of its value; None for ASSUMED_PERCENT.
        sample: "dense" for a dense solid, as calculations are of; "pellet" for a pressed powder, which is
            softer.
    """

    bulk_gpa: float
    shear_gpa: float
    percent: float | None = None
    sample: Sample = "dense"

    def __post_init__(self) -> None:
        low, high = _MODULUS_RANGE_GPA
        for name, value in (("bulk", self.bulk_gpa), ("shear", self.shear_gpa)):
            if not low < value < high:
                raise InputError(
                    f"the {name} modulus is {value:g} GPa; give a number of GPa between {low:g} and {high:g}"
                )
        if self.percent is not None and not 0 < self.percent <= 100:
            raise InputError(
                f"the uncertainty of the moduli is {self.percent:g}%; give a number above 0 and up to 100"
            )

    def __str__(self) -> str:
        """Return a sentence for a report."""
        percent = ASSUMED_PERCENT if self.percent is None else self.percent
        stated = " (assumed; state yours)" if self.percent is None else ""
        sample = "a pellet, brought to the dense solid" if self.sample == "pellet" else "the dense solid"
        return (
            f"Moduli given, of {sample}: K {self.bulk_gpa:.3g} and G {self.shear_gpa:.3g} GPa, "
            f"each with a standard deviation of {percent:g}%{stated}"
        )

    @classmethod
    def from_tensor(
        cls, path: Path | str, percent: float | None = None, sample: Sample = "dense"
    ) -> OwnModuli:
        """Return the Voigt-Reuss-Hill averages of an elastic tensor.

        Args:
            path: file with 6 x 6 elastic constants in GPa, Voigt order xx yy zz yz xz xy: text with blanks or
                commas between them, or JSON (a list of lists, or an object with it under "elastic_tensor").
            percent: see the class.
            sample: see the class.

        Raises:
            InputError: the file cannot be read, or its tensor is not one of a stable solid.
        """
        constants = _tensor(Path(path))
        tensor = ElasticTensor.from_voigt(constants)
        return cls(float(tensor.k_vrh), float(tensor.g_vrh), percent, sample)

    def overrides(self, members: int, glass: bool) -> dict[str, PropertyPrediction]:
        """Return K, G and E in place of the networks', [members, 1] each.

        A pellet's moduli are brought to the dense crystal's, which all formulas start from, by the offset
        that measured pellets have from DFT crystals.

        Args:
            members: of the ensemble.
            glass: True for a glass, of which there is no pellet offset.
        """
        offset = 0.0
        if self.sample == "pellet" and not glass:
            offset = parameter("pellet_log10_offset").value
        sd = np.log10(1 + (ASSUMED_PERCENT if self.percent is None else self.percent) / 100)

        def one(value: float) -> PropertyPrediction:
            mean = np.full((members, 1), np.log10(value) - offset)
            return PropertyPrediction(mean, np.full((members, 1), sd), "log10")

        bulk, shear = one(self.bulk_gpa), one(self.shear_gpa)
        return {
            "bulk_modulus_gpa": bulk,
            "shear_modulus_gpa": shear,
            "youngs_modulus_gpa": youngs_modulus(bulk, shear, 0.0),
        }


def read_own_crystal(path: Path | str) -> OwnCrystal:
    """Return what a CIF, POSCAR or pymatgen JSON file says of its one structure.

    Raises:
        InputError: it cannot be read, or holds several structures.
    """
    reading = read_crystal_files([path])
    if reading.failures:
        raise InputError(f"the structure {path}: {reading.failures[0].reason}")
    if len(reading.crystals) != 1:
        raise InputError(f"{path} holds {len(reading.crystals)} structures; give a file with one")
    crystal = reading.crystals
    compositions = crystal.compositions()
    atoms = float(crystal.site_occupancy().sum())
    return OwnCrystal(
        Path(path).name,
        compositions.formulas()[0],
        float(crystal.densities()[0]),
        float(crystal.volumes()[0]) / atoms,
        crystal,
    )


def own_moduli(
    bulk_gpa: float | None,
    shear_gpa: float | None,
    tensor: Path | str | None,
    percent: float | None = None,
    sample: Sample = "dense",
) -> OwnModuli | None:
    """Return the moduli that a user gave in one of two ways, None for neither.

    Raises:
        InputError: only one modulus, both ways, or an uncertainty or a sample without moduli.
    """
    if tensor is not None:
        if bulk_gpa is not None or shear_gpa is not None:
            raise InputError("a tensor and moduli say the same thing; give one of them")
        return OwnModuli.from_tensor(tensor, percent, sample)
    if bulk_gpa is not None and shear_gpa is not None:
        return OwnModuli(bulk_gpa, shear_gpa, percent, sample)
    if bulk_gpa is not None or shear_gpa is not None:
        raise InputError("one modulus alone does not make a solid; give the bulk and the shear modulus")
    if percent is not None or sample != "dense":
        raise InputError("an uncertainty or a sample belongs to moduli; give those too, or leave it out")
    return None


def _tensor(path: Path) -> NDArray[np.float64]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the elastic tensor {path} cannot be read ({error}); check the path") from error
    try:
        if path.suffix.lower() == ".json":
            document = read_json(text)
            found = document.get("elastic_tensor") if isinstance(document, dict) else document
            constants = np.array(found, dtype=np.float64)
        else:
            lines = [line.split("#")[0] for line in text.splitlines()]
            rows = [[float(v) for v in re.split(r"[\s,;]+", line.strip())] for line in lines if line.strip()]
            constants = np.array(rows, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise InputError(f"the elastic tensor {path} holds something else than numbers ({error})") from error
    if constants.shape != (6, 6) or not np.isfinite(constants).all():
        raise InputError(
            f"the elastic tensor {path} has no 6 x 6 numbers; write all rows of constants in GPa"
        )
    if np.abs(constants - constants.T).max() > _ASYMMETRY * np.abs(constants).max():
        raise InputError(f"the elastic tensor {path} is not symmetric; check rows and columns")
    if np.linalg.eigvalsh((constants + constants.T) / 2).min() <= 0:
        raise InputError(f"the elastic tensor {path} is not positive definite: no stable solid has it")
    return (constants + constants.T) / 2
