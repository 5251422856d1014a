"""The year that a DOI states, for tables that name a paper but no year."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

_FULL = re.compile(
    r"^10\.(?:"
    r"1002/[a-z]+\.(?P<wiley>(?:19|20)\d\d)\d{5}$"  # adma.201803075
    r"|1002/\d{4}-\d{3}[\dx]\((?P<wiley_old>(?:19|20)\d\d)\d{4}\)"  # 1521-3765(20020118)8:2<349::...
    r"|(?:1006|1016|1111|3389|1038)/(?:[a-z]+|j\.[a-z]+|j\.[\d-]+)\.(?P<dotted>(?:19|20)\d\d)\.[\d.x]+$"
    r")"
)  # 1016/j.ssi.2014.07.018, 1111/j.1551-2916.2005.00060.x, 3389/fchem.2020.562549

_SHORT = re.compile(
    r"^10\.(?:"
    r"1016/s?\d{4}-\d{3}[\dx]\((?P<pii>\d\d)\)"  # 1016/0167-2738(83)90223-0
    r"|1107/s\d{7}[\dx](?P<iucr>\d\d)\d{6}$"  # 1107/s2052520615022283
    r")"
)
_SPRINGER = re.compile(r"^10\.(?:1007|1038)/s\d{5}-0(?P<two>\d\d)-\d{4,5}-[\da-z]$")
_ACS = re.compile(r"^10\.1021/(?:acs)?[a-z.]*?(?P<digit>\d)(?P<letter>[bc])\d{5}$")
_ACS_NINETIES = re.compile(r"^10\.1021/[a-z]{2}(?P<two>[09]\d)\d{4}[a-z\d]$")  # cm980736j, ic030208w
_ACS_TEENS = re.compile(
    r"^10\.1021/[a-z]{2}(?P<digit>[1-5])\d{5}[a-z\d]$"
)  # cm1006857 of 2010, cm5037524 of 2014
_RSC = re.compile(r"^10\.1039/(?P<letter>[a-d])(?P<digit>\d)(?:[a-z]{2}\d{5}|\d{5})[a-z]$")
_DECADES = {"acs": {"b": 2010, "c": 2020}, "rsc": {"a": 1990, "b": 2000, "c": 2010, "d": 2020}}
_FIRST_YEAR = 50
"""Two-digit years from here on are of the 20th century."""

LATEST_DELAY = 1.0
"""Years between what a DOI states and the latest publication, such as 10.1038/s41467-025-68210-5 of 2026."""


def publication_years(dois: Iterable[str]) -> NDArray[np.float64]:
    """Return the year that each DOI states, [N]; NaN where it states none.

    It is the year of submission (ACS, RSC, Wiley), of acceptance (Elsevier, Springer Nature) or of
    publication: the paper came out in that year or in the next (LATEST_DELAY). Of several DOIs joined with
    "|" the latest counts, and none is known unless all are.
    """
    return np.array([max((_year(part) for part in text.split("|")), key=_late) for text in dois], float)


def _late(year: float) -> float:
    return np.inf if np.isnan(year) else year


def _year(doi: str) -> float:
    text = doi.strip().lower()
    for pattern in (_FULL, _SHORT, _SPRINGER, _ACS_NINETIES):
        match = pattern.match(text)
        if match:
            digits = next(group for group in match.groups() if group)
            if len(digits) == 4:
                return float(digits)
            century = 1900 if int(digits) >= _FIRST_YEAR else 2000
            return float(century + int(digits))
    teens = _ACS_TEENS.match(text)
    if teens:
        return 2009.0 + int(teens["digit"])
    for name, pattern in (("acs", _ACS), ("rsc", _RSC)):
        match = pattern.match(text)
        if match:
            return float(_DECADES[name][match["letter"]] + int(match["digit"]))
    return float("nan")
