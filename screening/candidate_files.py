"""Own candidates from a file or a folder: CSV, Parquet, or structures (CIF, POSCAR, pymatgen JSON)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from softlyte.featurize.crystal_files import read_crystal_files
from softlyte.screening.inputs import InputError, InputRows, RejectedRow, read_rows

PARQUET_SUFFIXES = (".parquet", ".pq")
STRUCTURE_SUFFIXES = (".cif", ".mcif", ".vasp", ".poscar", ".contcar", ".json")

_COLUMNS = ("formula", "phase", "mp_id")
_BATCH_ROWS = 65_536


def read_candidates(path: Path | str) -> InputRows:
    """Read candidates from whatever a path names.

    A folder, or a single structure file, is read as structures: each is a crystal of its composition, and a
    file that holds none is refused with its reason. A Parquet file needs a column `formula` and may have
    `phase` and `mp_id`; anything else is read as CSV (`softlyte.screening.inputs.read_rows`).

    Raises:
        InputError: there is no such file, or nothing in it can be candidates.
    """
    path = Path(path)
    if path.is_dir():
        return _structures(path, [file for file in sorted(path.rglob("*")) if _is_shown(file, path)])
    if path.suffix.lower() in PARQUET_SUFFIXES:
        return _parquet(path)
    if path.name.lower().removesuffix(".gz").endswith(STRUCTURE_SUFFIXES) and path.exists():
        return _structures(path.parent, [path])
    return read_rows(path)


def checksum(path: Path | str) -> str:
    """Return the SHA-256 of a file, or of the names and checksums of all files of a folder."""
    path = Path(path)
    if not path.is_dir():
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    files = (file for file in sorted(path.rglob("*")) if _is_shown(file, path))
    lines = (f"{file.relative_to(path)} {checksum(file)}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _is_shown(file: Path, folder: Path) -> bool:
    """Tell whether a path is a file outside hidden folders."""
    return file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts)


def _structures(folder: Path, files: list[Path]) -> InputRows:
    """Return the compositions of structure files; row numbers count the files."""
    if not files:
        raise InputError(f"the folder {folder} holds no files; put CIF, POSCAR or pymatgen JSON files there")
    reading = read_crystal_files(files)
    rows = InputRows(folder.name, [], [], [])
    formulas = reading.crystals.compositions().formulas() if len(reading.crystals) else []
    for position, name, formula in zip(reading.position.tolist(), reading.names, formulas, strict=True):
        rows.row.append(position + 1)
        rows.formula.append(formula)
        rows.phase.append("crystal")
        rows.name.append(f"{_relative(name, folder)} ({formula})")
    rows.rejected.extend(
        RejectedRow(failure.position + 1, _relative(failure.name, folder), failure.reason)
        for failure in reading.failures
    )
    return rows


def _relative(name: str, folder: Path) -> str:
    return name.removeprefix(f"{folder}/")


def _parquet(path: Path) -> InputRows:
    """Read the columns of a Parquet file that candidates have, a batch of rows at a time."""
    try:
        file = pq.ParquetFile(path)
        found = {name.strip().casefold(): name for name in file.schema_arrow.names}
        if "formula" not in found:
            shown = ", ".join(file.schema_arrow.names[:10])
            raise InputError(
                f"the file {path} has no column named formula (it has {shown}); name one column formula"
            )
        rows, wanted = InputRows(path.name, [], [], []), [found[c] for c in _COLUMNS if c in found]
        for batch in file.iter_batches(_BATCH_ROWS, columns=wanted):
            first = len(rows.row) + 1
            rows.row.extend(range(first, first + len(batch)))
            rows.formula.extend(_texts(batch, found["formula"]))
            rows.phase.extend(_texts(batch, found["phase"]) if "phase" in found else [""] * len(batch))
            if "mp_id" in found:
                rows.mp_id.extend(_texts(batch, found["mp_id"]))
    except FileNotFoundError:
        raise InputError(f"there is no file {path}; check the path") from None
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"the file {path} cannot be read as Parquet ({str(error).splitlines()[0]}); write it again"
        ) from error
    if not rows.row:
        raise InputError(f"the file {path} holds no rows; add at least one formula")
    return rows


def _texts(batch: pa.RecordBatch, name: str) -> list[str]:
    """Return a column as stripped texts, empty where a value is missing."""
    column = pc.fill_null(batch.column(name).cast(pa.string()), "")
    return [text.strip() for text in column.to_pylist()]
