"""What is installed, on what machine, and whether it is whole: the functions behind `softlyte doctor`."""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

import softlyte
from softlyte.datasets.errors import UserError

KEY_VARIABLE = "MP_API_KEY"
_SETTINGS = (
    "SOFTLYTE_CACHE_DIR",
    "SOFTLYTE_DATA",
    "MP_API_ENDPOINT",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
)
_SECONDARY = ("dev", "docs", "notebooks", "test")
"""Extras for those who work on Softlyte itself: listed, not missed."""


@dataclass(frozen=True)
class Check:
    """One thing that was verified.

    Attributes:
        name: of the table, or of the folder of weights.
        ok: whether it is what was shipped.
        problem: one sentence, "" if it is.
    """

    name: str
    ok: bool
    problem: str = ""


@dataclass(frozen=True)
class Extra:
    """An optional part.

    Attributes:
        name: of the extra.
        missing: requirements that are not installed or too old, as "mp-api>=0.46 (0.41 is installed)".
        install: the command that installs it.
    """

    name: str
    missing: tuple[str, ...]
    install: str


@dataclass(frozen=True)
class Health:
    """The state of an installation.

    Attributes:
        versions: of Softlyte, Python, and every package that Softlyte needs.
        machine: operating system, processor cores, threads of torch, devices.
        missing: needed requirements that are not installed or too old.
        tables: data tables against their cards.
        weights: shipped weights against theirs.
        cache: folder, whether it can be written, files, bytes, free bytes.
        extras: optional parts.
        settings: environment variables that Softlyte reads; of a key only whether it is set.
    """

    versions: dict[str, str]
    machine: dict[str, Any]
    missing: tuple[str, ...]
    tables: tuple[Check, ...]
    weights: tuple[Check, ...]
    cache: dict[str, Any]
    extras: tuple[Extra, ...]
    settings: dict[str, str]

    @property
    def ok(self) -> bool:
        """Whether nothing is damaged and nothing needed is missing; extras may be."""
        return not self.missing and all(check.ok for check in (*self.tables, *self.weights))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return {"ok": self.ok} | asdict(self)


def examine() -> Health:
    """Look at packages, devices, tables, weights and cache; nothing is written."""
    needed, extras = _requirements()
    versions = {"softlyte": softlyte.__version__, "python": platform.python_version()}
    versions |= {r.name: version for r in needed if (version := _version(r.name)) is not None}
    return Health(
        versions,
        _machine(),
        tuple(_lacking(needed)),
        tuple(_verified("tables", _tables)),
        tuple(_verified("weights", _weights)),
        _cache(),
        tuple(
            Extra(name, tuple(_lacking(wanted)), f"pip install 'softlyte[{name}]'")
            for name, wanted in extras.items()
            if name not in _SECONDARY
        ),
        _settings(),
    )


def _requirements() -> tuple[list[Requirement], dict[str, list[Requirement]]]:
    """Return what Softlyte needs, and what each extra needs, as its metadata say."""
    needed: list[Requirement] = []
    extras: dict[str, list[Requirement]] = {}
    for text in metadata.requires("softlyte") or ():
        try:
            one = Requirement(text)
        except InvalidRequirement:
            continue
        named = re.search(r"""extra\s*==\s*['"]([^'"]+)""", str(one.marker or ""))
        if named is None:
            if one.marker is None or one.marker.evaluate():
                needed.append(one)
        elif one.name != "softlyte" and one.marker is not None and one.marker.evaluate({"extra": named[1]}):
            extras.setdefault(named[1], []).append(one)
    return needed, dict(sorted(extras.items()))


def _lacking(requirements: list[Requirement]) -> Iterator[str]:
    for one in requirements:
        found = _version(one.name)
        if found is None:
            yield f"{one.name}{one.specifier}"
        elif not one.specifier.contains(found, prereleases=True):
            yield f"{one.name}{one.specifier} ({found} is installed)"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _machine() -> dict[str, Any]:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    machine: dict[str, Any] = {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu_cores": os.cpu_count(),
        "usable_cores": usable,
        "torch_threads": None,
        "cuda": [],
    }
    try:
        import torch
    except ImportError:
        return machine
    machine["torch_threads"] = torch.get_num_threads()
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            device = torch.cuda.get_device_properties(number)
            machine["cuda"].append({"name": device.name, "memory_gb": round(device.total_memory / 1e9, 1)})
    return machine


def _verified(name: str, verify: Callable[[], Iterable[Check]]) -> Iterator[Check]:
    """Pass on the checks; what a needed package's absence prevents is a failed one."""
    try:
        yield from verify()
    except ImportError as error:
        yield Check(name, False, f"the {name} cannot be verified ({error}); reinstall softlyte")


def _tables() -> Iterator[Check]:
    from softlyte.datasets.tables import check_tables

    for result in check_tables():
        yield Check(result.name, result.ok, "; ".join(result.problems))


def _weights() -> Iterator[Check]:
    """Verify the shipped ensembles, and any other folder of weights beside the first."""
    from softlyte.models.adaptation import load_adaptation
    from softlyte.models.checkpoint import (
        CARD,
        CRYSTAL_FORMAT,
        FORMAT,
        PRETRAINED,
        PRETRAINED_CRYSTALS,
        load_checkpoint,
    )

    folders = sorted({PRETRAINED, PRETRAINED_CRYSTALS, *(card.parent for card in PRETRAINED.rglob(CARD))})
    for folder in folders:
        crystals = folder == PRETRAINED_CRYSTALS
        name = folder.name if crystals else str(folder.relative_to(PRETRAINED.parent))
        kind = CRYSTAL_FORMAT if crystals else FORMAT
        try:
            load_adaptation(folder, load_checkpoint(folder, kind).card["weights_sha256"])
        except UserError as error:
            yield Check(name, False, str(error))
        else:
            yield Check(name, True)


def _cache() -> dict[str, Any]:
    try:
        from softlyte.featurize.hull_cache import cache_folder
    except ImportError:
        folder = None
    else:
        folder = cache_folder()
    if folder is None:
        return {"folder": None, "writable": False, "files": 0, "bytes": 0, "free_bytes": None}
    files = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
    place = next(path for path in (folder, *folder.parents) if path.exists())
    return {
        "folder": str(folder),
        "writable": os.access(place, os.W_OK),
        "files": len(files),
        "bytes": sum(path.stat().st_size for path in files),
        "free_bytes": shutil.disk_usage(place).free,
    }


def _settings() -> dict[str, str]:
    """Return the variables that are set; an address may hold a password, which is not shown."""
    settings = {
        name: re.sub(r"//[^/@]*@", "//...@", os.environ[name]) for name in _SETTINGS if name in os.environ
    }
    return settings | {KEY_VARIABLE: "set" if os.environ.get(KEY_VARIABLE) else "not set"}
