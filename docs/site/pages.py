"""Pages of the site that are made from other files: cards of tables and weights, notebooks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from softlyte.datasets.cards import TableCard
from softlyte.datasets.tables import load_card, table_names

ROOT = Path(__file__).resolve().parents[2]
CARD = ROOT / "models" / "pretrained" / "card.json"
CRYSTAL_CARD = ROOT / "models" / "pretrained_crystals" / "card.json"

_FLAT = {ord("|"): "\\|", ord("\n"): " "}
"""What would end a cell of a table."""


def table_cards() -> dict[str, str]:
    """Return a page for each data table and an index of all, by their places on the site."""
    cards = [load_card(name) for name in table_names()]
    rows = [
        [f"[{card.name}]({card.name}.md)", f"{card.rows:,}", card.title, card.origin, card.licence]
        for card in cards
    ]
    index = [
        "# Data cards",
        "Every table that Softlyte learns from or checks against, from the cards in `datasets/tables/`. "
        "[The data tables](../docs/data.md) says how they are loaded, flagged and rebuilt.",
        _table(["table", "rows", "what", "origin", "licence"], rows),
    ]
    made = {"cards/tables.md": "\n\n".join(index) + "\n"}
    return made | {f"cards/{card.name}.md": _table_card(card) for card in cards}


def _table_card(card: TableCard) -> str:
    facts = [
        ("Source", f"[{card.source}]({card.source_url})"),
        ("DOI", ", ".join(f"[{doi}](https://doi.org/{doi})" for doi in card.doi)),
        ("Licence", card.licence),
        ("Version", card.version),
        ("Rows", f"{card.rows:,}, of them flagged {card.flagged_rows:,}"),
        ("Origin", card.origin),
        ("SHA-256", f"`{card.sha256}`"),
    ]
    if card.artifact is not None:
        file = card.artifact
        facts.append(("Artifact", f"{file.kind} {file.package} {file.version}, `{file.filename}`"))
    parts = [
        f"# {card.name}",
        f"**{card.title}.** {card.description}",
        _table(["field", "value"], [[label, text] for label, text in facts if text]),
        "## How it was built",
        card.how_built,
    ]
    if card.cautions:
        parts += ["## Cautions", "\n".join(f"- {text}" for text in card.cautions)]
    columns = [[f"`{name}`", column.unit, column.meaning] for name, column in card.columns.items()]
    parts += ["## Columns", _table(["column", "unit", "meaning"], columns)]
    if card.flags:
        parts += ["## Flags", _table(["flag", "meaning"], [[f"`{k}`", v] for k, v in card.flags.items()])]
    if card.dropped:
        dropped = [[reason, f"{count:,}"] for reason, count in card.dropped.items()]
        parts += ["## Rows of the source that are not in the table", _table(["reason", "rows"], dropped)]
    return "\n\n".join(parts) + "\n"


def model_card() -> dict[str, str]:
    """Return the pages of the shipped weights, from the cards that lie beside them."""
    compositions = json.loads(CARD.read_text(encoding="utf-8"))
    crystals = json.loads(CRYSTAL_CARD.read_text(encoding="utf-8"))
    return {
        "cards/model.md": _model_page(
            compositions,
            "# Model card",
            "models/pretrained",
            f"{compositions['config']['data']['folds']} folds by chemical system",
            f"{compositions['rows']['all']:,}",
            "[How the network works](../docs/model.md), [how it is evaluated](../docs/evaluation.md), "
            "[what has been measured](../benchmarks/RESULTS.md).",
            "chemical systems",
            "- Pressure, temperature other than through the conductivity's activation energy, "
            "microstructure, impurities, moisture.\n"
            "- Structures: a composition has one value for a phase, whatever its polymorph.\n"
            "- Chemistry far from its tables: there `applicability` is low and the row is flagged.",
        ),
        "cards/crystal_model.md": _model_page(
            crystals,
            "# Model card: structures",
            "models/pretrained_crystals",
            f"{crystals['config']['structures']['folds']} folds by formula",
            ", ".join(f"{name.replace('_', ' ')} {rows:,}" for name, rows in crystals["rows"].items()),
            "[How the networks work](../docs/crystals.md), "
            "[what has been measured](../benchmarks/RESULTS.md).",
            "formulas",
            "- Conductivity, windows, glasses.\n"
            "- Structures far from relaxed: their moduli and energies are those of the cell as it is given.\n"
            "- Chemistry far from its tables.",
        ),
    }


def _model_page(
    card: dict[str, Any],
    title: str,
    place: str,
    folds: str,
    rows: str,
    links: str,
    held_out: str,
    unknown: str,
) -> str:
    """Return the page of one ensemble's card."""
    network, config = card["network"], card["config"]
    facts = [
        ["Intended use", card["intended_use"]],
        ["Members", f"{card['members']} networks, {folds}"],
        ["Training rows", rows],
        ["Elements seen", str(len(card["elements"]))],
        ["Network", ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in network.items())],
        ["Stages", ", ".join(f"{s['name']} ({s['epochs']} epochs)" for s in config["training"]["stages"])],
        ["Trained with", ", ".join(f"{name} {value}" for name, value in card["training"].items())],
        ["SHA-256", f"`{card['weights_sha256']}`"],
    ]
    metrics = []
    for target, subsets in card["test_metrics"].items():
        for subset, found in subsets.items():
            numbers = [_number(found.get(key)) for key in ("mae", "rmse", "spearman", "coverage")]
            metrics.append([f"`{target}`", subset, f"{found['rows']:,}", *numbers])
    known = set(table_names())
    tables = [
        # Rows derived from a table go by a name of their own.
        [f"[{name}]({name}.md)" if name in known else name, f"`{checksum}`"]
        for name, checksum in card["tables_sha256"].items()
    ]
    parts = [
        title,
        f"**{card['name']}**, the weights that ship in `{place}`. {links}",
        _table(["field", "value"], facts),
        f"## On {held_out} held out of training",
        "Mean absolute error (log10 units for moduli, conductivity, density and hardness; V, eV/atom and K "
        "otherwise), root mean square error, rank correlation, and the share of rows inside their 90% "
        f"interval. Each row is predicted by networks that have not seen its {held_out[:-1]}.",
        _table(["target", "rows are", "rows", "MAE", "RMSE", "Spearman", "coverage"], metrics),
        "## What it does not know",
        unknown,
        "## Tables that it learned from",
        _table(["table", "SHA-256"], tables),
    ]
    return "\n\n".join(parts) + "\n"


def notebooks() -> dict[str, str]:
    """Return a page for each notebook, with its kept outputs, and an index of all."""
    made, lines = {}, []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        content = json.loads(path.read_text(encoding="utf-8"))
        text = "\n\n".join(_cell(cell) for cell in content["cells"])
        made[f"notebooks/{path.stem}.md"] = text + "\n"
        lines.append(f"- [{text.splitlines()[0].removeprefix('# ')}]({path.name})")
    index = [
        "# Notebooks",
        "They lie in `notebooks/` as `.ipynb` and, for reading and comparing, as `.py`; "
        "each runs in less than a minute on two cores. Start with the first.",
        "\n".join(lines),
        "```\npip install 'softlyte[notebooks]' jupyterlab\njupyter lab notebooks/01_first_screen.ipynb\n```",
    ]
    return made | {"notebooks/index.md": "\n\n".join(index) + "\n"}


def _cell(cell: dict[str, Any]) -> str:
    source = "".join(cell["source"])
    if cell["cell_type"] != "code":
        return source
    outputs = cell.get("outputs", [])
    printed = "".join("".join(o["text"]) for o in outputs if o["output_type"] == "stream")
    parts = [f"```python\n{source}\n```"]
    if printed:
        # What a progress bar overwrote is not shown.
        lines = [line.rsplit("\r", 1)[-1] for line in printed.split("\n")]
        parts.append("```text\n" + "\n".join(lines).rstrip() + "\n```")
    return "\n\n".join([*parts, *(_output(o) for o in outputs if o["output_type"] != "stream")])


def _output(output: dict[str, Any]) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        image = "".join(data["image/png"]).replace("\n", "")
        return f'<img alt="figure of the cell above" src="data:image/png;base64,{image}">'
    if "text/html" in data:
        html = "".join(data["text/html"])
        # Blank lines would end the block in Markdown.
        return '<div class="frame">' + "\n".join(line for line in html.split("\n") if line.strip()) + "</div>"
    return "```text\n" + "".join(data.get("text/plain", [])) + "\n```"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).translate(_FLAT) for cell in line) + " |" for line in lines)
