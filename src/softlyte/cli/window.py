"""`softlyte window`: electrochemical window, decomposition products and interfaces of formulas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from softlyte.cli import options
from softlyte.cli.output import fail, note, number_text, print_table
from softlyte.cli.results import chosen_format

if TYPE_CHECKING:
    from softlyte.screening.window import WindowReport

OUT_FILES = ("window.csv", "profile.csv", "interfaces.csv")


def command(
    formulas: options.NeededFormulas,
    cathode: Annotated[
        list[str] | None,
        typer.Option(
            help="Cathode by name (LCO, LNO, LMO, NMC111, NMC622, NMC811, NCO, NNO, NMO, NFO, NFM) or "
            "formula; may be repeated.",
            show_default=False,
        ),
    ] = None,
    ion: Annotated[
        Literal["Li", "Na"] | None,
        typer.Option(
            help="Ion whose potential counts; default: the more abundant.",
            show_default=False,
            case_sensitive=False,
        ),
    ] = None,
    metastable: Annotated[
        Literal["on_hull", "strict"],
        typer.Option(help="A phase above the hull is put on it, or has no window."),
    ] = "on_hull",
    entries: Annotated[
        Path | None,
        typer.Option(
            help="Own energies: CSV (formula, formation_energy_ev_atom, functional) or JSON of pymatgen "
            "entries.",
            show_default=False,
        ),
    ] = None,
    alone: Annotated[
        bool, typer.Option("--alone", help="Use --entries alone, without the shipped energies.")
    ] = False,
    correct: Annotated[
        list[str] | None,
        typer.Option(help="oxidised_halogens or chloride_valence; may be repeated.", show_default=False),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="HTML page of profile and phase diagram.", show_default=False)
    ] = None,
    corners: Annotated[
        str | None,
        typer.Option(help="Corners of the section to draw: LiCl,AlCl3,Al2O3.", show_default=False),
    ] = None,
    format: Annotated[
        Literal["table", "csv", "json"] | None,
        typer.Option(help="What to print; default: table.", show_default=False, case_sensitive=False),
    ] = None,
    as_json: options.Json = False,
    out: Annotated[
        Path | None, typer.Option(help=f"Folder for {', '.join(OUT_FILES)}.", show_default=False)
    ] = None,
    weights: options.Weights = None,
    device: options.Device = "auto",
    quiet: options.Quiet = False,
) -> None:
    """Compute window, products at both limits, decomposition and interfaces of formulas.

    Known phases stand with their tabulated energy, any other with the networks' and a 90% interval.
    """
    from softlyte.screening.export import atomic_text, check_file_place, check_writable, csv_text, write_csv
    from softlyte.screening.window import REPEATED, window

    written = chosen_format(format, as_json)
    if plot is not None:
        check_file_place(plot)
    if out is not None:
        check_writable(out)
    report = window(
        formulas,
        ion=ion,
        metastable=metastable,
        cathodes=cathode,
        entries=entries,
        alone=alone,
        corrections=correct or (),
        weights=weights,
        device=device,
    )
    if out is not None:
        for name, frame in zip(
            OUT_FILES, (report.windows, report.profile_table(), report.interfaces), strict=True
        ):
            write_csv(out / name, frame)
        note(f"tables written to {out}")
    if plot is not None and report.profiles:
        page = report.html(None if corners is None else [c.strip() for c in corners.split(",")])
        with atomic_text(plot) as handle:
            handle.write(page)
        note(f"plot written to {plot}")
    # Files first: a reader of the output who has seen enough does not cost them.
    if written == "json":
        typer.echo(_json(report), nl=False)
    elif written == "csv":
        typer.echo(csv_text(report.windows), nl=False)
    else:
        _print(report)
    refused = report.windows[report.windows["reason"] != ""]
    for row, record in refused.iterrows():
        say = note if record["reason"] == REPEATED else fail
        say(f"formula {int(str(row)) + 1}: {record['formula']!r}: {record['reason']}")
    if (refused["reason"] != REPEATED).any():
        raise typer.Exit(2)


def _json(report: WindowReport) -> str:
    from softlyte.screening.export import json_text

    parts = {"windows": report.windows, "profiles": report.profile_table(), "interfaces": report.interfaces}
    lists = {name: json.loads(json_text(frame)) for name, frame in parts.items()}
    return json.dumps(lists, ensure_ascii=False, indent=1) + "\n"


def _print(report: WindowReport) -> None:
    """Print for each formula its window, the steps of its profile and its interfaces."""
    from softlyte.datasets.columns import COLUMNS, INTERVAL_LEVEL, WINDOW_COLUMNS
    from softlyte.featurize.electrochemistry import products_text

    shown = [n for n in WINDOW_COLUMNS if n in COLUMNS and n not in ("formula", "mobile_ion", "reason")]
    for _, row in report.windows.iterrows():
        if row["formula"] not in report.profiles:
            continue
        formula, ion = row["formula"], row["mobile_ion"]
        lines = []
        for name in shown:
            column = COLUMNS[name]
            unit = f"V vs {ion}/{ion}+" if column.unit == "V" else column.unit
            value = number_text(row[name], name)
            ends = [number_text(row[f"{name}_{end}"]) for end in ("lower", "upper") if f"{name}_{end}" in row]
            if value and len(ends) == 2 and ends[0] != ends[1]:
                value = f"{value} [{ends[0]}, {ends[1]}]"
            lines.append([column.label, unit, value])
        print_table(["", "unit", "value"], lines, f"{formula}  ([{INTERVAL_LEVEL:.0%} interval])")
        profile = report.profiles[formula]
        body = []
        for step in profile.steps:
            low, high = (f"{1e3 * energy / profile.atoms:.0f}" for energy in step.energy_ev)
            body.append(
                [
                    f"{step.low_v:.2f} - {step.high_v:.2f}",
                    f"{step.uptake:+.3g}" if step.uptake else "0",
                    f"{low} to {high}".replace("-0 ", "0 "),
                    products_text(step.products),
                ]
            )
        print_table([f"V vs {ion}/{ion}+", f"{ion} taken up", "meV/atom", "becomes"], body)
        contact = []
        for pair in report.interfaces[report.interfaces["formula"] == formula].to_dict("records"):
            energy, change = pair["reaction_energy_ev_atom"], pair["volume_change"]
            contact.append(
                [
                    pair["partner"],
                    "" if energy != energy else f"{1e3 * energy:.0f}",
                    "" if change != change else f"{100 * change:+.1f}%",
                    "; ".join(part for part in (pair["reaction"], pair["note"]) if part),
                ]
            )
        print_table(["against", "meV/atom", "volume", "reaction"], contact, right=["meV/atom", "volume"])
