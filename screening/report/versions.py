"""What identifies a run: its configuration, prices, weights and data, as labels and texts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from softlyte.datasets.tables import load_card, table_names
from softlyte.screening.report.run import Run

SETTINGS = {
    "limit": "Sample of the space",
    "seed": "Seed",
    "refine": "Candidates on the hull, at most",
    "top": "Ranked rows, at most",
    "exhaustive": "Networks asked of every candidate",
    "cost_ceiling_usd_kg": "Precursors left out above (USD/kg)",
    "device": "Device",
}
"""Settings of run.json that the page shows, with what it calls them."""


def run_facts(run: Run) -> list[tuple[str, str]]:
    """Return what identifies the run, as (label, text)."""
    config, record = run.record["config"], run.record
    lines = [("Folder", run.folder.resolve().name), ("Softlyte", str(record.get("softlyte", "unknown")))]
    space, candidates = config.get("space"), config.get("candidates")
    if isinstance(space, dict):
        lines += [("Space", str(space.get("source"))), ("Space, SHA-256", str(space.get("sha256")))]
    if isinstance(candidates, dict):
        lines += [("Candidates", str(candidates.get("file")))]
        lines += [("Candidates, SHA-256", str(candidates.get("sha256")))]
    lines += _weights(str(config.get("weights_sha256", "unknown")))
    lines += [("Started", str(record.get("started"))), ("Finished", str(record.get("finished")))]
    for name, label in SETTINGS.items():
        if config.get(name) is not None:
            lines.append((label, _text(config[name])))
    if isinstance(config.get("costing"), dict):
        lines += _costing(config["costing"])
    conditions = run.targets.conditions
    lines.append(
        (
            "Stack pressure asked for at",
            f"{conditions.temperature_c:g} °C, real contact {conditions.contact:g}, "
            + ("with an alkali-metal electrode" if conditions.alkali_metal else "no alkali metal beside it"),
        )
    )
    return lines


def table_versions(run: Run) -> list[tuple[str, str, str]]:
    """Return (name, version, SHA-256) of each data table that the run used.

    The run keeps checksums; the version is that of the installed card where the checksum is the same.
    """
    known, rows = set(table_names()), []
    for name, checksum in sorted((run.record["config"].get("tables_sha256") or {}).items()):
        same = name in known and load_card(name).sha256 == checksum
        rows.append(
            (str(name), f"version {load_card(name).version}" if same else "not the installed one", checksum)
        )
    return rows


def _weights(checksum: str) -> list[tuple[str, str]]:
    card = json.loads(
        (resources.files("softlyte.models") / "pretrained" / "card.json").read_text(encoding="utf-8")
    )
    shipped = checksum == card.get("weights_sha256")
    text = f"{card['name']}, {card['members']} networks, shipped" if shipped else "own, or of another version"
    return [("Weights", text), ("Weights, SHA-256", checksum)]


def _costing(costing: Mapping[str, Any]) -> list[tuple[str, str]]:
    prices = costing.get("prices") or {}
    own = prices.get("own")
    lists = "cited prices" + (f" and {Path(str(own)).name}" if own else "")
    lines = [("Prices", f"{lists} of {prices.get('date')}, {costing.get('price_level')} level")]
    if prices.get("without"):
        lines.append(("Precursors barred", ", ".join(map(str, prices["without"]))))
    lines.append(("Synthesis route", str(costing.get("route"))))
    lines.append(("Layer", f"{costing.get('thickness_um')} µm"))
    return lines


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return (
        f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)
    )
