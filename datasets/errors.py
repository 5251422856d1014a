"""The common base of every mistake that a user can mend.

The command line turns these into one sentence and exit code 2; anything else keeps its traceback.
"""

from __future__ import annotations


class UserError(ValueError):
    """A mistake in what the user gave; the message names where, what and the remedy in one sentence."""
