"""Read back the folder of a finished screening."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from softlyte.datasets.columns import CANDIDATE_COLUMNS
from softlyte.datasets.documents import read_json
from softlyte.datasets.errors import UserError
from softlyte.screening.export import REJECTED_FILE
from softlyte.screening.run_record import CANDIDATES_FILE, FUNNEL_FILE, RUN_FILE
from softlyte.screening.targets import Targets, load_targets

NEEDED = ("rank", "formula", "phase", "p_all_targets")
"""Columns without which candidates.csv is no ranking."""

FUNNEL_COLUMNS = ("tier", "in", "out", "removed", "reason")

_TEXTS = frozenset(
    {
        "formula",
        "mp_id",
        "mobile_ion",
        "family",
        "phase",
        "glass_transition_source",
        "hull_basis",
        "decomposition_products",
        "reduction_products",
        "oxidation_products",
        "pressure_mechanism",
        "pressure_modulus",
        "nearest_known",
        "flags",
        "precursor_route",
        "tier",
        "reason",
    }
)
"""Columns of text: a formula that looks like a number or a missing value stays what it is."""


class ReportError(UserError):
    """A folder that no report can be made of; the message names the file and the remedy."""


@dataclass(frozen=True)
class Run:
    """A finished screening as its folder holds it.

    Attributes:
        folder: where the files lie.
        candidates: ranked rows of candidates.csv; texts are never missing, numbers may be NaN.
        funnel: rows of funnel.csv.
        record: content of run.json.
        targets: that the ranking was made for.
        rejected: number of refused input rows.
    """

    folder: Path
    candidates: pd.DataFrame
    funnel: pd.DataFrame
    record: dict[str, Any]
    targets: Targets
    rejected: int


def load_run(folder: Path | str) -> Run:
    """Return what `softlyte screen` wrote into a folder.

    Raises ReportError if a file is missing, unreadable or not that of a finished screening.
    """
    place = Path(folder)
    if not place.is_dir():
        raise ReportError(f"{place} is not a folder; give the --out folder of softlyte screen")
    record = _read_record(place / RUN_FILE)
    candidates = _read_table(place / CANDIDATES_FILE, NEEDED)
    funnel = _read_table(place / FUNNEL_FILE, FUNNEL_COLUMNS)
    for name in ("in", "out", "removed"):
        funnel[name] = pd.to_numeric(funnel[name], errors="coerce").fillna(0).astype("int64")
    funnel["reason"] = funnel["reason"].fillna("")
    rejected = place / REJECTED_FILE
    refused = len(_read_table(rejected, ())) if rejected.exists() else 0
    return Run(place, candidates, funnel, record, _targets(record, place), refused)


def _read_record(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReportError(
            f"{path} cannot be read ({error.strerror or error}); give the --out folder of softlyte screen"
        ) from error
    except ValueError as error:
        raise ReportError(f"{path} is not valid JSON ({error}); run the screening again") from error
    if not isinstance(content, dict) or not isinstance(content.get("config"), dict):
        raise ReportError(f"{path} holds no configuration of a run; run the screening again")
    if content.get("status") != "finished":
        raise ReportError(
            f"{path} says that the run is {content.get('status')!r}, not finished; run the screening again"
        )
    return content


def _read_table(path: Path, needed: tuple[str, ...]) -> pd.DataFrame:
    texts = dict.fromkeys(_TEXTS, str)
    try:
        frame = pd.read_csv(path, keep_default_na=False, na_values=[""], dtype=texts)
    except OSError as error:
        raise ReportError(
            f"{path} cannot be read ({error.strerror or error}); give the --out folder of softlyte screen"
        ) from error
    except (ValueError, pd.errors.ParserError) as error:
        raise ReportError(f"{path} is not a table ({error}); run the screening again") from error
    missing = [name for name in needed if name not in frame.columns]
    if missing:
        raise ReportError(f"{path} has no column {', '.join(missing)}; run the screening again")
    for name in frame.columns:
        if name == "pareto_front":
            frame[name] = frame[name].astype(str).eq("True")
        elif name in CANDIDATE_COLUMNS and name not in _TEXTS:
            frame[name] = _as_numbers(frame[name], path)
        elif not pd.api.types.is_numeric_dtype(frame[name]):
            frame[name] = frame[name].fillna("").astype(str)
    return frame


def _as_numbers(column: pd.Series, path: Path) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce")
    bad = (numbers.isna() & column.notna()).to_numpy()
    if bad.any():
        row = int(bad.argmax())
        raise ReportError(
            f"{path}, row {row + 1}: {column.name} is {column.iloc[row]!r}; a number belongs there"
        )
    return numbers.astype("float64")


def _targets(record: dict[str, Any], folder: Path) -> Targets:
    config = record["config"]
    if "targets" not in config:
        return load_targets()
    content = {"target": config["targets"], "conditions": config.get("conditions") or {}}
    try:
        return Targets.model_validate(content)
    except ValidationError as error:
        raise ReportError(
            f"{folder / RUN_FILE} holds targets that this version does not know; run the screening again"
        ) from error
