"""`softlyte data add` and `softlyte data own`: a laboratory's own measurements."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from softlyte.cli import options
from softlyte.cli.output import is_quiet, note, number_text, print_json, print_table

if TYPE_CHECKING:
    from softlyte.datasets.own.comparison import Match
    from softlyte.screening.own_data import Added

Folder = Annotated[
    Path | None,
    typer.Option(
        "--to",
        help="Folder of your measurements; default: $SOFTLYTE_DATA or ~/.local/share/softlyte/measurements.",
        show_default=False,
    ),
]

SHOWN_MATCHES = 30
"""Values shown beside known ones; contradictions come first."""

app = typer.Typer(
    no_args_is_help=True,
    help="List, show and remove your own measurements.",
    pretty_exceptions_enable=False,
)


def add(
    file: Annotated[
        Path, typer.Argument(help="CSV of measurements, units in the header.", show_default=False)
    ],
    to: Folder = None,
    source: Annotated[
        str, typer.Option(help="Where the values are written down, for rows that do not say.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and compare; write nothing.")] = False,
    quiet: options.Quiet = False,
) -> None:
    """Check your measurements, compare them with what is known, and keep them as a new version.

    A file with a mistake adds nothing: each mistake is named with row, value and remedy.
    """
    from softlyte.screening.own_data import add_measurements

    added = add_measurements(file, to, source, dry_run)
    for remark in added.measurements.remarks:
        note(remark)
    for row, text in added.cautions:
        note(f"{added.measurements.file}, row {row}: {text}")
    for row, where in added.comparison.repeated.items():
        note(f"{added.measurements.file}, row {row}: repeats {where}; it is kept once")
    if not is_quiet():
        _print_matches(added)
    new = len(added.new)
    if dry_run:
        note(f"dry run: {new} rows would be added to {added.folder}")
    elif added.version is None:
        note(f"every row is in {added.folder} already; nothing was added")
    else:
        note(f"{new} rows added to {added.folder} as version {added.version.number}")


def _print_matches(added: Added) -> None:
    from softlyte.datasets.own.comparison import repeat_scatter, scale_of

    matches = added.comparison.matches
    if not matches:
        return
    rows = [_match_cells(m) for m in matches[:SHOWN_MATCHES]]
    columns = ["row", "material", "quantity", "yours", "known", "difference", "verdict"]
    print_table(columns, rows, "Beside what is known", right=["row", "yours", "difference"])
    if len(matches) > SHOWN_MATCHES:
        note(f"... and {len(matches) - SHOWN_MATCHES} more, all within the scatter of repeats or unjudged")
    for match in added.comparison.contradictions:
        note(
            f"row {match.row} contradicts {'; '.join(dict.fromkeys(match.sources))}: "
            f"{match.difference:+.2f} {scale_of(match.quantity)}, repeats of one material scatter by "
            f"{repeat_scatter(match.quantity):.2f}"
        )


def _match_cells(match: Match) -> list[str]:
    from softlyte.datasets.own.comparison import scale_of
    from softlyte.datasets.own.quantities import BY_COLUMN

    factor, unit = (
        (1e3, "mS/cm") if match.quantity == "log10_sigma_s_cm" else (1.0, BY_COLUMN[match.quantity].unit)
    )
    known = [number_text(v * factor) for v in (match.known[0], match.known[-1])]
    span = known[0] if known[0] == known[1] else f"{known[0]} to {known[1]}"
    verdict = "CONTRADICTS" if match.contradicts else "agrees"
    if match.allowed != match.allowed:
        verdict = "too few repeats to judge"
    return [
        str(match.row),
        f"{match.formula} {match.phase}",
        f"{BY_COLUMN[match.quantity].words[0].replace('_', ' ')}, {unit}",
        number_text(match.value * factor),
        f"{span} ({len(match.known)})",
        f"{match.difference:+.2f} {scale_of(match.quantity)}",
        verdict,
    ]


@app.command("list")
def list_versions(to: Folder = None, as_json: options.Json = False) -> None:
    """List the versions of your measurements."""
    from softlyte.datasets.own.store import default_folder, state_sha256, versions

    folder = default_folder() if to is None else to
    found = versions(folder)
    if as_json:
        print_json(
            [
                {
                    "version": v.number,
                    "rows": v.card.rows,
                    "added": v.added,
                    "file": v.file,
                    "source": v.card.source,
                }
                for v in found
            ]
        )
        return
    if not found:
        note(f"there are no measurements in {folder}; add some with softlyte data add FILE --to {folder}")
        return
    rows = [[str(v.number), f"{v.card.rows:,}", v.added, v.file, v.card.source] for v in found]
    print_table(["version", "rows", "added", "file", "source"], rows, right=["version", "rows"])
    note(f"{sum(v.card.rows for v in found)} rows in {folder}, checksum {state_sha256(folder)[:12]}")


@app.command("show")
def show(
    version: Annotated[
        int | None, typer.Argument(help="Show the measurements up to this version.", show_default=False)
    ] = None,
    to: Folder = None,
) -> None:
    """Print your measurements as CSV, units in the column names."""
    from softlyte.datasets.own.store import load_own
    from softlyte.datasets.writing import spreadsheet_safe

    typer.echo(spreadsheet_safe(load_own(to, version)).to_csv(index=False, lineterminator="\n"), nl=False)


@app.command("remove")
def remove(
    version: Annotated[int, typer.Argument(help="Number of the version, see `list`.", show_default=False)],
    to: Folder = None,
) -> None:
    """Remove a version; the folder's history keeps that it was there."""
    from softlyte.datasets.own.store import default_folder, remove_version

    folder = default_folder() if to is None else to
    gone = remove_version(folder, version)
    note(f"version {gone.number} ({gone.card.rows} rows of {gone.file}) removed from {folder}")
