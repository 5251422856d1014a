"""The `softlyte` command: its verbs, and how errors end it.

Nothing heavy is imported here: a verb imports what it needs when it runs, so that `--help` is instant.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from softlyte.cli import (
    adapt,
    benchmark,
    cost,
    crystals,
    data,
    diffuse,
    doctor,
    own_data,
    predict,
    pressure,
    propose,
    query,
    report,
    screen,
    space,
    train,
    tune,
    verify,
    window,
)
from softlyte.cli import version as version_verb
from softlyte.cli.failures import machine_failure
from softlyte.cli.output import fail, set_quiet
from softlyte.datasets.errors import UserError


class SoftlyteGroup(TyperGroup):
    """A command group that answers a user's mistake, or a machine's want, in a sentence and exit code 2."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen verb."""
        set_quiet(False)
        try:
            return super().invoke(ctx)
        except UserError as error:
            fail(str(error))
            raise typer.Exit(2) from error
        except (OSError, MemoryError, RuntimeError) as error:
            sentence = machine_failure(error)
            if sentence is None:
                raise
            fail(sentence)
            raise typer.Exit(2) from error


app = typer.Typer(
    cls=SoftlyteGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Find soft, cheap solid electrolytes that work below 2 MPa of stack pressure.",
    epilog="Exit codes: 0 done, 1 unexpected error or failed check, 2 unusable input (all or some rows) or a "
    "lack of disk, memory or GPU, 130 interrupted.",
)
app.command("predict")(predict.command)
app.command("cost")(cost.command)
app.command("pressure")(pressure.command)
app.command("screen")(screen.command)
app.command("results")(query.command)
app.command("propose")(propose.command)
app.command("report")(report.command)
app.command("window")(window.command)
app.command("train")(train.command)
app.command("tune")(tune.command)
app.command("adapt")(adapt.command)
app.add_typer(data.app, name="data")
data.app.command("add")(own_data.add)
data.app.add_typer(own_data.app, name="own")
app.add_typer(space.app, name="space")
app.add_typer(benchmark.app, name="benchmark")
app.command("doctor")(doctor.command)
app.command("crystals")(crystals.command)
app.command("verify")(verify.command)
app.command("diffuse")(diffuse.command)
app.command("version")(version_verb.command)


def _version(wanted: bool) -> None:
    if wanted:
        import softlyte

        typer.echo(softlyte.__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    pass
