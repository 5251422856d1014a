"""Own candidates from a file or a folder: CSV, Parquet, or structures (CIF, POSCAR, pymatgen JSON)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from softlyte.featurize.crystal_files import read_crystal_files
from softlyte.screening.csv_rows import BATCH_ROWS, row_batches
from softlyte.screening.inputs import InputError, InputRows, RejectedRow, RowBatches

PARQUET_SUFFIXES = (".parquet", ".pq")
STRUCTURE_SUFFIXES = (".cif", ".mcif", ".vasp", ".poscar", ".contcar", ".json")

_COLUMNS = ("formula", "phase", "mp_id")


def read_candidates(path: Path | str) -> RowBatches:
    """Read candidates from whatever a path names, a batch of rows at a time.

    A folder, or a single structure file, is read as structures: each is a crystal of its composition, and a
    file that holds none is refused with its reason. A Parquet file needs a column `formula` and may have
    `phase` and `mp_id`; anything else is read as CSV (`softlyte.screening.csv_rows.row_batches`).

    Raises:
        InputError: there is no such file, or nothing in it can be candidates; of a table without rows when
            they are asked for.
    """
    path = Path(path)
    if path.is_dir():
        return _structures(path, [file for file in sorted(path.rglob("*")) if _is_shown(file, path)])
    if path.suffix.lower() in PARQUET_SUFFIXES:
        return _parquet(path)
    if path.name.lower().removesuffix(".gz").endswith(STRUCTURE_SUFFIXES) and path.exists():
        return _structures(path.parent, [path])
    return row_batches(path)


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


def _structures(folder: Path, files: list[Path]) -> RowBatches:
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
    return RowBatches(len(files), iter([rows]))


def _relative(name: str, folder: Path) -> str:
    return name.removeprefix(f"{folder}/")


def _parquet(path: Path) -> RowBatches:
    """Open a Parquet file; of its columns only those of candidates are read."""
    try:
        file = pq.ParquetFile(path)
    except FileNotFoundError:
        raise InputError(f"there is no file {path}; check the path") from None
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error
    found = {name.strip().casefold(): name for name in file.schema_arrow.names}
    if "formula" not in found:
        shown = ", ".join(file.schema_arrow.names[:10])
        raise InputError(
            f"the file {path} has no column named formula (it has {shown}); name one column formula"
        )
    if not file.metadata.num_rows:
        raise InputError(f"the file {path} holds no rows; add at least one formula")
    return RowBatches(file.metadata.num_rows, _parquet_batches(path, file, found))


def _parquet_batches(path: Path, file: pq.ParquetFile, found: dict[str, str]) -> Iterator[InputRows]:
    """Yield the rows of a Parquet file.

    Args:
        path: of the file.
        file: opened.
        found: by its name without case, the name of each column.
    """
    first, wanted = 1, [found[name] for name in _COLUMNS if name in found]
    try:
        for batch in file.iter_batches(BATCH_ROWS, columns=wanted):
            yield InputRows(
                path.name,
                list(range(first, first + len(batch))),
                _texts(batch, found["formula"]),
                _texts(batch, found["phase"]) if "phase" in found else [""] * len(batch),
                mp_id=_texts(batch, found["mp_id"]) if "mp_id" in found else [],
            )
            first += len(batch)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(
        f"the file {path} cannot be read as Parquet ({str(error).splitlines()[0]}); write it again"
    )


def _texts(batch: pa.RecordBatch, name: str) -> list[str]:
    """Return a column as stripped texts, empty where a value is missing."""
    column = pc.fill_null(batch.column(name).cast(pa.string()), "")
    return [text.strip() for text in column.to_pylist()]
