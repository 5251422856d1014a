"""The command line: one thin module per verb over library functions with the same arguments.

Exit codes: 0 done; 1 an unexpected error (with its traceback) or a failed check; 2 the input was not
usable, in whole or for some rows, or the machine lacks disk, memory or GPU; 130 interrupted.
"""

from __future__ import annotations


def main() -> None:
    """Run the `softlyte` command."""
    from softlyte.cli.app import app

    app(prog_name="softlyte")
