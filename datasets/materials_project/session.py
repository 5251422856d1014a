"""HTTP with patience: time limits, retries with growing waits, one sentence for each thing that goes wrong.

mp-api sends every request through this connection. Its own retries three times within a second, waits
without end for some answers, and passes on what JSON libraries say about half an answer.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import requests

from softlyte.datasets.errors import UserError

KEY_VARIABLE = "MP_API_KEY"
KEY_HEADER = "x-api-key"
KEY_PAGE = "https://next-gen.materialsproject.org/api"

_AGAIN = "run the same command again later, it goes on where it was"
_SHOWN = 200  # characters of what a server says


class MaterialsProjectError(UserError):
    """The Materials Project cannot be asked or did not answer usably; the message says why and what to do."""


@dataclass(frozen=True)
class Patience:
    """How long and how often to try.

    Attributes:
        tries: requests for one page, the first included.
        first_wait_s: seconds before the second try; each further wait is twice as long.
        longest_wait_s: no single wait is longer; a server that asks for more is taken as one that refuses.
        timeout_s: seconds until a silent server counts as one that does not answer.
    """

    tries: int = 6
    first_wait_s: float = 1.0
    longest_wait_s: float = 120.0
    timeout_s: float = 30.0

    def __post_init__(self) -> None:
        if self.tries < 1 or self.timeout_s <= 0 or self.first_wait_s < 0:
            raise MaterialsProjectError(
                f"{self.tries} tries of {self.timeout_s:g} s each cannot be made; "
                "give at least one and a time above 0"
            )


@dataclass(frozen=True)
class _Fault:
    """What went wrong: the sentence, whether another try may help, and the wait that the server asks for."""

    sentence: str
    again: bool = False
    wait_s: float | None = None


class PatientSession(requests.Session):
    """A session that tries again, and raises MaterialsProjectError where that does not help.

    Args:
        patience: time limits.
        say: is told of each wait, in a sentence.
        wait: waits some seconds.
    """

    def __init__(
        self,
        patience: Patience,
        say: Callable[[str], None] | None = None,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__()
        self.patience = patience
        self._say = say or (lambda sentence: None)
        self._wait = wait

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request until it is answered with whole JSON; raises MaterialsProjectError."""
        kwargs["timeout"] = self.patience.timeout_s
        for attempt in range(1, self.patience.tries + 1):
            try:
                answer = super().request(method, url, *args, **kwargs)
                fault = _fault_of(answer, attempt)
            except requests.exceptions.RequestException as error:
                answer, fault = None, _network_fault(error, str(url), self.patience.timeout_s, attempt)
            if fault is None and answer is not None:
                return answer
            if fault is None or not fault.again or attempt == self.patience.tries:
                break
            pause = min(self.patience.first_wait_s * 2 ** (attempt - 1), self.patience.longest_wait_s)
            if fault.wait_s is not None:
                if fault.wait_s > self.patience.longest_wait_s:
                    break
                pause = max(pause, fault.wait_s)
            self._say(f"{fault.sentence.partition(';')[0]}; trying again in {pause:.0f} s")
            self._wait(pause)
        sentence = fault.sentence if fault is not None else "the Materials Project did not answer"
        raise MaterialsProjectError(self._without_key(sentence))

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Follow a redirection to another host without the key."""
        super().rebuild_auth(prepared_request, response)
        if urlsplit(str(prepared_request.url)).netloc != urlsplit(str(response.request.url)).netloc:
            prepared_request.headers.pop(KEY_HEADER, None)

    def _without_key(self, sentence: str) -> str:
        """Take the key out of a sentence: a server may send back what it was sent."""
        key = str(self.headers.get(KEY_HEADER) or "")
        return sentence.replace(key, f"<{KEY_VARIABLE}>") if key else sentence


def _fault_of(answer: requests.Response, attempt: int) -> _Fault | None:
    """Return what is wrong with an answer, None if it is whole JSON."""
    code = answer.status_code
    if code == HTTPStatus.OK:
        try:
            json.loads(answer.content)
        except ValueError:
            return _Fault(
                f"the Materials Project sent half an answer or none that is JSON ({attempt} times); {_AGAIN}",
                True,
            )
        return None
    if code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return _Fault(
            f"the Materials Project refuses the key in {KEY_VARIABLE} (HTTP {code}); "
            f"copy it anew from {KEY_PAGE}"
        )
    place = urlsplit(str(answer.url)).path
    if code == HTTPStatus.NOT_FOUND:
        return _Fault(
            f"the Materials Project knows no address {place} (HTTP 404); "
            "check MP_API_ENDPOINT or update mp-api"
        )
    if code == HTTPStatus.TOO_MANY_REQUESTS:
        wait = _asked_wait(answer.headers.get("Retry-After"))
        asked = "" if wait is None else f", for {wait:.0f} s"
        return _Fault(
            f"the Materials Project asks to slow down{asked} (HTTP 429, {attempt} times); {_AGAIN}",
            True,
            wait,
        )
    if code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        wait = _asked_wait(answer.headers.get("Retry-After"))
        return _Fault(
            f"the Materials Project has a fault of its own (HTTP {code}, {attempt} times); {_AGAIN}",
            True,
            wait,
        )
    return _Fault(
        f"the Materials Project does not accept the query at {place} (HTTP {code}: {_said(answer)}); "
        "check it or update mp-api"
    )


def _said(answer: requests.Response) -> str:
    """Return in one line what the server says about a refusal."""
    try:
        detail = json.loads(answer.content)["detail"]
    except (ValueError, KeyError, TypeError):
        detail = re.sub(r"<[^>]*>", " ", answer.text)
    return " ".join(str(detail).split())[:_SHOWN] or "without a word"


def _asked_wait(value: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks for: a number or a date."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _network_fault(
    error: requests.exceptions.RequestException, url: str, timeout_s: float, attempt: int
) -> _Fault:
    parts = urlsplit(url)
    host = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
    if isinstance(error, requests.exceptions.Timeout):
        return _Fault(f"{host} did not answer within {timeout_s:g} s ({attempt} times); {_AGAIN}", True)
    if isinstance(error, requests.exceptions.SSLError):
        return _Fault(
            f"the certificate of {host} is not accepted; check the clock and the proxy's certificates"
        )
    if isinstance(error, requests.exceptions.ChunkedEncodingError | requests.exceptions.ContentDecodingError):
        return _Fault(f"{host} broke off in the middle of an answer ({attempt} times); {_AGAIN}", True)
    if isinstance(error, requests.exceptions.ConnectionError):
        return _Fault(
            f"{host} cannot be reached ({attempt} times); check network and proxy, then {_AGAIN}", True
        )
    kind = type(error).__name__
    return _Fault(f"{host} cannot be asked ({kind}); check MP_API_ENDPOINT and the proxy")
