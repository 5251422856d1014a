"""Universal interatomic potentials as ASE calculators: the shipped choice, and any other by dotted path.

The weights lie inside the wheels of the `physics` extra, so nothing is downloaded. A potential's checksum is
that of its weights; it stands in every cached energy, so that energies of two potentials never mix.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softlyte.datasets.errors import UserError

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

EXTRA = "physics"
"""The optional extra that brings the packages of this folder."""

_NEEDED = ("ase", "matcalc")


class PhysicsError(UserError):
    """A potential that cannot be had, or a structure that a potential cannot treat."""


@dataclass(frozen=True)
class Potential:
    """A potential that can be loaded.

    Attributes:
        name: what a person types and what columns and caches carry.
        package: distribution that holds the weights; empty for a dotted path.
        functional: what it was trained on; energies of different functionals never share a hull.
        weights: returns the files whose bytes make the checksum.
        load: returns an ASE calculator on a device ("cpu" or "cuda").
    """

    name: str
    package: str
    functional: str
    weights: Callable[[], tuple[Path, ...]]
    load: Callable[[str], Calculator]

    def checksum(self) -> str:
        """Return the first 16 hexadecimal digits of the sha256 over the weights, or over name and version."""
        digest = hashlib.sha256(self.name.encode())
        files = self.weights()
        for path in files:
            digest.update(path.read_bytes())
        if not files:
            digest.update(self.version().encode())
        return digest.hexdigest()[:16]

    def version(self) -> str:
        """Return the version of the package that holds the weights, "unknown" if it states none."""
        try:
            return metadata.version(self.package)
        except (metadata.PackageNotFoundError, ValueError):
            return "unknown"


def _package_folder(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise PhysicsError(missing_extra(module))
    return Path(spec.origin).parent


def _diep_weights() -> tuple[Path, ...]:
    folder = _package_folder("diep") / "pretrained_models" / "diep_fold1"
    return tuple(folder / name for name in ("model.json", "model.pt", "state.pt"))


def _diep(device: str) -> Calculator:
    from diep.pretrained import make_calculator

    # The folder is named: the package would otherwise follow an environment variable to other weights.
    calculator = make_calculator(_diep_weights()[0].parent, device=device)
    # Forces are gradients by positions alone; those by the weights would double the cost.
    calculator.potential.requires_grad_(False)
    return calculator


def _sevenn_weights() -> tuple[Path, ...]:
    folder = _package_folder("sevenn") / "pretrained_potentials" / "SevenNet_MF_0"
    return tuple(sorted(folder.glob("*.pth")))


def _sevenn(device: str) -> Calculator:
    from sevenn.calculator import SevenNetCalculator

    return SevenNetCalculator("7net-mf-0", modal="R2SCAN", device=device)


POTENTIALS = {
    "diep": Potential("diep", "diep", "r2SCAN", _diep_weights, _diep),
    "7net-mf-0": Potential("7net-mf-0", "sevenn", "r2SCAN", _sevenn_weights, _sevenn),
}
"""The shipped choice: DIEP (MatPES r2SCAN) and SevenNet multi-fidelity 0, modal R2SCAN."""


def find_potential(name: str) -> Potential:
    """Return a shipped potential by name, or an ASE calculator by dotted path (`package.module.Name`).

    What a dotted path names is called without arguments on the CPU, with `device=` elsewhere, and must return
    an ASE calculator with forces and stress.

    Raises:
        PhysicsError: unknown name, missing extra, or a path that leads nowhere.
    """
    _check_extra()
    if name in POTENTIALS:
        potential = POTENTIALS[name]
        _package_folder("diep" if name == "diep" else "sevenn")
        return potential
    if "." not in name:
        raise PhysicsError(
            f"there is no potential {name!r}; take {', '.join(POTENTIALS)} or the dotted path of an ASE "
            "calculator"
        )
    made = _resolve(name)
    return Potential(name, name.partition(".")[0], name, tuple, lambda device: _call(name, made, device))


def load_calculator(name: str, device: str = "cpu") -> Calculator:
    """Return the ASE calculator of a potential on a device; arguments and errors as for `find_potential`."""
    check_device(device)
    return find_potential(name).load(device)


def check_device(device: str) -> None:
    """Raise PhysicsError if potentials cannot run on a device."""
    if device not in ("cpu", "cuda"):
        raise PhysicsError(f"there is no device {device!r} for a potential; take cpu or cuda")
    if device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise PhysicsError("this machine has no CUDA device that torch can use; take --device cpu")


def missing_extra(package: str) -> str:
    """Return the sentence that names the extra to install."""
    return f"the package {package} is not installed; install the extra with: pip install 'softlyte[{EXTRA}]'"


def _check_extra() -> None:
    for package in _NEEDED:
        if importlib.util.find_spec(package) is None:
            raise PhysicsError(missing_extra(package))


def _resolve(path: str) -> Callable[..., Any]:
    module, _, attribute = path.rpartition(".")
    try:
        made = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise PhysicsError(f"the calculator {path} cannot be imported ({error}); correct the path") from error
    if not callable(made):
        raise PhysicsError(f"{path} cannot be called; name a calculator class or a function that returns one")
    return made


def _call(path: str, made: Callable[..., Any], device: str) -> Calculator:
    try:
        calculator = made(device=device) if device != "cpu" else made()
    except TypeError as error:
        raise PhysicsError(
            f"{path} cannot be made on {device} ({error}); give a function that takes no other arguments"
        ) from error
    if not hasattr(calculator, "get_property"):
        raise PhysicsError(f"{path} does not return an ASE calculator; correct the path")
    return calculator
