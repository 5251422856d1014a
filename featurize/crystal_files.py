"""Structures from CIF, POSCAR and pymatgen JSON: thousands at a time, a bad one with its reason.

Nothing that is wrong with one file touches another: what cannot be used is listed with one sentence, and a
process that dies over a file takes only that file with it.
"""

from __future__ import annotations

import gzip
import warnings
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure
from pymatgen.io.cif import CifParser
from pymatgen.io.vasp import Poscar

from softlyte.datasets.documents import read_json
from softlyte.datasets.workers import worker_pool
from softlyte.featurize.crystals import OCCUPANCY_TOLERANCE, CrystalError, Crystals

Format = Literal["cif", "poscar", "json"]

MAX_BYTES = 20_000_000
"""A larger file, unpacked, is not read."""
MAX_SITES = 2_000
"""A structure with more sites is not used: its graph alone would fill a batch."""

_CHUNK = 64  # files handed to a process at once
_SUFFIXES: dict[str, Format] = {
    ".cif": "cif",
    ".mcif": "cif",
    ".vasp": "poscar",
    ".poscar": "poscar",
    ".contcar": "poscar",
    ".json": "json",
}


@dataclass(frozen=True)
class CrystalSource:
    """One thing to read structures from.

    Attributes:
        name: shown with its structures and its failures.
        path: file to read; None if the text is given.
        text: the content; None if it is in a file.
        kind: format; None to tell from the file's name.
    """

    name: str
    path: Path | None = None
    text: str | None = None
    kind: Format | None = None


@dataclass(frozen=True)
class CrystalFailure:
    """Why a source, or one structure in it, gave nothing.

    Attributes:
        position: of the source in what was asked for, 0 first.
        name: of the source; with "#2" where only its second structure failed.
        reason: one sentence with the remedy.
    """

    position: int
    name: str
    reason: str


@dataclass(frozen=True)
class CrystalReading:
    """What was read.

    Attributes:
        crystals: N crystals in the order of their sources.
        names: [N] name of the source; "#2" is added to the second structure of one, and so on.
        position: [N] int64, number of the source in what was asked for, 0 first.
        failures: everything that gave no crystal, in order.
    """

    crystals: Crystals
    names: tuple[str, ...]
    position: NDArray[np.int64]
    failures: tuple[CrystalFailure, ...]


def read_crystal_files(
    paths: Iterable[Path | str], processes: int = 1, max_sites: int = MAX_SITES
) -> CrystalReading:
    """Read CIF (.cif, .mcif), POSCAR (.vasp, .poscar, names with POSCAR or CONTCAR) and pymatgen JSON files.

    Each may be gzipped (.gz). A CIF with several data blocks and a JSON list give a crystal for each.

    Args:
        paths: any number of files.
        processes: how many read at once; each is started anew, so call this under `if __name__ ==
            "__main__"` in a script when it is more than 1.
        max_sites: structures with more sites are failures.
    """
    return read_crystals([CrystalSource(str(path), Path(path)) for path in paths], processes, max_sites)


def read_crystals(
    sources: Sequence[CrystalSource], processes: int = 1, max_sites: int = MAX_SITES
) -> CrystalReading:
    """Read structures from files or texts; arguments as for `read_crystal_files`."""
    numbered = list(enumerate(sources))
    chunks = [numbered[i : i + _CHUNK] for i in range(0, len(numbered), _CHUNK)]
    if processes > 1 and len(chunks) > 1:
        readings = _in_processes(chunks, processes, max_sites)
    else:
        readings = [_read_chunk(chunk, max_sites) for chunk in chunks]
    # A chunk that was read again one by one comes in parts; the order is that of the sources all the same.
    joined = _join(readings)
    order = np.argsort(joined.position, kind="stable")
    return CrystalReading(
        joined.crystals[order],
        tuple(joined.names[i] for i in order),
        joined.position[order],
        tuple(sorted(joined.failures, key=lambda failure: failure.position)),
    )


_Numbered = tuple[int, CrystalSource]


def _in_processes(chunks: list[list[_Numbered]], processes: int, max_sites: int) -> list[CrystalReading]:
    """Read chunks in several processes; those of a process that died are read again, each file alone."""
    readings, lost = _try_chunks(chunks, processes, max_sites)
    for numbered in [item for chunk in lost for item in chunk]:
        alone, dead = _try_chunks([[numbered]], 1, max_sites)
        readings += alone
        if dead:
            position, source = numbered
            reason = "the process that read it died, probably out of memory; make it smaller or leave it out"
            failure = CrystalFailure(position, source.name, reason)
            readings.append(CrystalReading(Crystals.concatenate([]), (), np.zeros(0, np.int64), (failure,)))
    return readings


def _try_chunks(
    chunks: list[list[_Numbered]], processes: int, max_sites: int
) -> tuple[list[CrystalReading], list[list[_Numbered]]]:
    """Return what was read and the chunks that were lost with a process."""
    readings, lost = [], []
    with worker_pool(processes) as pool:
        waiting: list[tuple[list[_Numbered], Future[CrystalReading] | None]] = []
        for chunk in chunks:
            try:
                waiting.append((chunk, pool.submit(_read_chunk, chunk, max_sites)))
            except BrokenProcessPool:
                waiting.append((chunk, None))
        for chunk, future in waiting:
            try:
                if future is None:
                    lost.append(chunk)
                else:
                    readings.append(future.result())
            except BrokenProcessPool:
                lost.append(chunk)
    return readings, lost


def _read_chunk(chunk: list[_Numbered], max_sites: int) -> CrystalReading:
    parts: list[Crystals] = []
    names: list[str] = []
    positions: list[int] = []
    failures: list[CrystalFailure] = []
    for position, source in chunk:
        try:
            found = _structures_in(source)
        except CrystalError as error:
            failures.append(CrystalFailure(position, source.name, str(error)))
            continue
        for number, structure in enumerate(found):
            name = source.name if number == 0 else f"{source.name}#{number + 1}"
            try:
                if isinstance(structure, str):
                    raise CrystalError(structure)
                if len(structure) > max_sites:
                    raise CrystalError(
                        f"it has {len(structure):,} sites, more than {max_sites:,}; give a smaller cell"
                    )
                parts.append(Crystals.from_structure(structure))
            except CrystalError as error:
                failures.append(CrystalFailure(position, name, str(error)))
                continue
            names.append(name)
            positions.append(position)
    return CrystalReading(
        Crystals.concatenate(parts), tuple(names), np.array(positions, dtype=np.int64), tuple(failures)
    )


def _join(readings: list[CrystalReading]) -> CrystalReading:
    return CrystalReading(
        Crystals.concatenate([reading.crystals for reading in readings]),
        tuple(name for reading in readings for name in reading.names),
        np.concatenate([np.zeros(0, np.int64), *(reading.position for reading in readings)]),
        tuple(failure for reading in readings for failure in reading.failures),
    )


def _structures_in(source: CrystalSource) -> list[Structure | str]:
    """Return the structures of a source, for a broken one among several the reason; raises CrystalError."""
    kind = source.kind or _kind_of(source.path)
    text = source.text if source.text is not None else _text_of(source.path)
    if not text.strip():
        raise CrystalError("it is empty; give a file with a structure")
    try:
        # pymatgen warns of what it mends; what it cannot mend it raises.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return {"cif": _from_cif, "poscar": _from_poscar, "json": _from_json}[kind](text)
    except CrystalError:
        raise
    except Exception as error:  # pymatgen's parsers raise many unrelated types over broken files
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise CrystalError(f"it cannot be read as {kind.upper()} ({said}); correct or replace it") from error


def _kind_of(path: Path | None) -> Format:
    if path is None:
        raise CrystalError("a text comes without its format; state cif, poscar or json")
    name = path.name.lower().removesuffix(".gz")
    if Path(name).suffix in _SUFFIXES:
        return _SUFFIXES[Path(name).suffix]
    if "poscar" in name or "contcar" in name:
        return "poscar"
    raise CrystalError("its name tells no format; call it .cif, .vasp or .json")


def _text_of(path: Path | None) -> str:
    if path is None:
        raise CrystalError("there is neither a file nor a text; give one of them")
    try:
        opened = gzip.open if path.suffix.lower() == ".gz" else open
        with opened(path, "rb") as handle:
            content = handle.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise CrystalError("there is no such file; correct the path") from None
    except IsADirectoryError:
        raise CrystalError("it is a folder; give the files in it") from None
    except (OSError, EOFError, zlib.error) as error:
        raise CrystalError(f"it cannot be read ({error}); check or replace it") from error
    if len(content) > MAX_BYTES:
        raise CrystalError(f"it is larger than {MAX_BYTES // 1_000_000} MB; give a file with one structure")
    if b"\0" in content:
        raise CrystalError("it is a binary file; give CIF, POSCAR or pymatgen JSON")
    # Author names in old CIFs are in any encoding; everything that counts is ASCII.
    return content.decode("utf-8", errors="replace")


def _from_cif(text: str) -> list[Structure | str]:
    parser = CifParser.from_str(text, occupancy_tolerance=1.0 + OCCUPANCY_TOLERANCE)
    # With `ignore` a broken data block does not take the others with it; its reason is in the warnings.
    structures = parser.parse_structures(primitive=False, on_error="ignore")
    broken = [
        f"a data block holds no usable structure ({' '.join(message.splitlines()[1:])[:160]}); correct it"
        for message in parser.warnings  # type: ignore[attr-defined]
        if message.startswith("No structure parsed")
    ]
    return [*structures, *broken]


def _from_poscar(text: str) -> list[Structure | str]:
    poscar = Poscar.from_str(text)
    if not poscar.true_names:
        raise CrystalError("it names no elements; write their symbols in the sixth line")
    return [poscar.structure]


def _from_json(text: str) -> list[Structure | str]:
    document = read_json(text)
    found: list[Structure | str] = []
    for entry in document if isinstance(document, list) else [document]:
        if not isinstance(entry, dict) or "lattice" not in entry or "sites" not in entry:
            raise CrystalError("it is JSON without lattice and sites; write it with pymatgen's Structure.to")
        # Properties play no part, and may name classes that would have to be imported to be read.
        sites = [{**site, "properties": {}} for site in entry["sites"]]
        found.append(Structure.from_dict({**entry, "properties": {}, "sites": sites}))
    return found
