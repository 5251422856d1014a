"""Write the report: data, script, style and plot library in one HTML file.

Nothing is loaded from elsewhere: a content security policy forbids it, and allows the page's own scripts by
their checksums only. Data stand in a JSON element and reach the page as text, never as markup.
"""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from softlyte.datasets.columns import COLUMNS, INTERVAL_LEVEL
from softlyte.screening.export import atomic_text, check_file_place
from softlyte.screening.report.payload import COMPARISONS, payload, script_json
from softlyte.screening.report.run import Run, load_run
from softlyte.screening.report.versions import run_facts, table_versions
from softlyte.screening.run_record import REPORT_FILE

SCRIPTS = ("core.js", "figures.js", "cards.js", "table.js")
"""Parts of the page's script, in this order; they share one scope."""

_STATIC_ROWS = 20
"""Rows that a reader without scripts sees."""


def write_report(folder: Path | str, out: Path | str | None = None, title: str | None = None) -> Path:
    """Write the report of a screening as one HTML file that needs no network.

    Args:
        folder: what `softlyte screen` wrote: candidates.csv, funnel.csv and run.json.
        out: file to write; None for report.html in the folder.
        title: heading of the page; None for one that names the space or the file of candidates.

    Returns:
        the file.

    Raises:
        UserError: the folder holds no finished screening, or the file cannot be written.
    """
    run = load_run(folder)
    path = run.folder / REPORT_FILE if out is None else Path(out)
    check_file_place(path)
    text = render(run, title)
    with atomic_text(path) as handle:
        handle.write(text)
    return path


def render(run: Run, title: str | None = None) -> str:
    """Return the report of a run as HTML."""
    from plotly.offline import get_plotlyjs

    plotly = _inside_script(get_plotlyjs())
    script = _inside_script("\n".join(["(function () {", '"use strict";', *map(_asset, SCRIPTS), "}());"]))
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(_asset("page.html"))
    return template.render(
        title=title or f"Screening of {_origin(run)}",
        policy=_policy(plotly, script),
        style=Markup(_asset("style.css")),  # noqa: S704 - package data
        plotly=Markup(plotly),  # noqa: S704 - the library itself
        script=Markup(script),  # noqa: S704 - package data
        data=Markup(script_json(payload(run))),  # noqa: S704 - escaped by script_json
        run=run,
        origin=_origin(run),
        targets=[_target_text(run, place) for place in range(len(run.targets.target))],
        level=f"{INTERVAL_LEVEL:.0%}",
        funnel=run.funnel.to_dict("records"),
        top=_top_rows(run),
        facts=run_facts(run),
        tables=table_versions(run),
        environment=sorted((run.record.get("environment") or {}).items()),
        timings=(run.record.get("timings_s") or {}).items(),
    )


def _asset(name: str) -> str:
    return (resources.files(__package__) / "assets" / name).read_text(encoding="utf-8")


def _inside_script(code: str) -> str:
    """Return code unchanged; raises ValueError if it would end its own script element."""
    if "</script" in code.lower() or "<!--" in code:
        raise ValueError("a script of the report holds '</script' or '<!--' and cannot stand in a page")
    # Browsers hash the text after line ends are made one kind.
    return code.replace("\r\n", "\n").replace("\r", "\n")


def _policy(*scripts: str) -> str:
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'" for code in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _origin(run: Run) -> str:
    config = run.record["config"]
    space, candidates = config.get("space"), config.get("candidates")
    if isinstance(space, dict):
        return f"the space {space.get('name')}"
    if isinstance(candidates, dict):
        return f"the candidates of {Path(str(candidates.get('file'))).name}"
    return "a list of candidates"


def _target_text(run: Run, place: int) -> str:
    target = run.targets.target[place]
    column = COLUMNS[target.column]
    return f"{column.label} {COMPARISONS[target.comparison]} {target.value:g} {column.unit}".strip()


def _top_rows(run: Run) -> list[dict[str, Any]]:
    shown = run.candidates[["rank", "formula", "phase", "p_all_targets"]].head(_STATIC_ROWS)
    return [{str(name): value for name, value in row.items()} for row in shown.to_dict("records")]
