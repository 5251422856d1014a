"""`softlyte space`: what candidate spaces hold, before anything is screened."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from softlyte.cli import options
from softlyte.cli.completion import complete_space
from softlyte.cli.output import print_json, print_table
from softlyte.cli.results import chosen_format

if TYPE_CHECKING:
    from softlyte.screening.describe import SpaceDescription

app = typer.Typer(no_args_is_help=True, help="Candidate spaces: what they hold, counted and looked up.")

SpaceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SPACE",
        help="A TOML file or a shipped space's name.",
        show_default=False,
        autocompletion=complete_space,
    ),
]


@app.command("list")
def list_spaces(as_json: options.Json = False) -> None:
    """List the shipped spaces."""
    from softlyte.screening.space import load_space, space_names

    if as_json:
        print_json([{"space": n, "description": load_space(n).spec.description} for n in space_names()])
        return
    rows = [[name, load_space(name).spec.description] for name in space_names()]
    print_table(["space", "holds"], rows, whole=("space",))


@app.command("describe")
def describe(
    space: SpaceArgument,
    examples: Annotated[int, typer.Option(min=0, help="Formulas to show of each family.")] = 3,
    format: Annotated[
        Literal["table", "json"] | None,
        typer.Option(help="How to print; default: table.", show_default=False),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Count a space exactly, without laying it out, and show examples of each family."""
    from softlyte.screening.describe import describe_space

    written = chosen_format(format, as_json)
    described = describe_space(space, examples)
    if written == "json":
        print_json(described.to_dict())
    else:
        _print_description(described)


@app.command("find")
def find(
    space: SpaceArgument,
    formulas: options.NeededFormulas,
    as_json: options.Json = False,
) -> None:
    """Tell whether formulas are among a space's candidates, from where, and if not why."""
    from softlyte.screening.describe import find_in_space

    found = find_in_space(space, formulas)
    if as_json:
        print_json([asdict(one) for one in found])
    else:
        rows = [
            [
                one.formula,
                "yes" if one.place >= 0 else "no",
                ", ".join(one.phases),
                one.provenance or one.reason,
            ]
            for one in found
        ]
        print_table(["formula", "there", "phases", "from, or why not"], rows, whole=("formula",))
    if any(one.place < 0 for one in found):
        raise typer.Exit(1)


def _print_description(described: SpaceDescription) -> None:
    """Print counts, families with examples, anions, and what is left out."""
    typer.echo(f"{described.name}: {described.description}\n{described.source}\n")
    rows = [
        ["distinct candidates (composition and phase)", f"{described.candidates:,}"],
        ["distinct compositions", f"{described.compositions:,}"],
        ["of them plausible as a glass too", f"{described.glasses:,}"],
        ["chemical systems", f"{described.chemical_systems:,}"],
    ]
    rows += [[f"candidates with {ion}", f"{count:,}"] for ion, count in described.by_mobile_ion.items()]
    print_table(["count", ""], rows, right=("",))
    rows = [[one.origin, f"{one.candidates:,}", "  ".join(one.examples)] for one in described.by_origin]
    print_table(
        ["from", "candidates", "examples"], rows, "Families", right=("candidates",), whole=("candidates",)
    )
    rows = [
        [anions, f"{count:,}", f"{count / described.candidates:.1%}"]
        for anions, count in described.by_anions.items()
    ]
    print_table(["anions", "candidates", "share"], rows, "Anions", right=("candidates", "share"))
    rows = [[one.element, one.policy, one.reason] for one in described.excluded]
    if rows:
        print_table(["element", "policy", "reason"], rows, "Declared elements that policies leave out")
    if described.out_of_order:
        pairs = ", ".join(f"{cation} with {anion}" for cation, anion in described.out_of_order)
        typer.echo(f"Never together, since the cation is the more electronegative one: {pairs}")
