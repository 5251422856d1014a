"""The Materials Project through mp-api, a page at a time.

mp-api's own paging keeps all pages in memory until the last has come, so nothing of it can be resumed; and
with no filter it copies whole collections from S3. Here every request has a filter and asks for one page.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import urljoin, urlsplit

from softlyte.datasets.materials_project.session import (
    KEY_PAGE,
    KEY_VARIABLE,
    MaterialsProjectError,
    Patience,
    PatientSession,
)

ENDPOINT_VARIABLE = "MP_API_ENDPOINT"
"""mp-api's own variable for another server."""

_RESTERS = {
    "summary": ("mp_api.client.routes.materials.summary", "SummaryRester"),
    "thermo": ("mp_api.client.routes.materials.thermo", "ThermoRester"),
    "elasticity": ("mp_api.client.routes.materials.elasticity", "ElasticityRester"),
}
_KEY_LENGTH = 32
_LOCAL = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Page:
    """One page of documents, and how many there are on all pages."""

    documents: list[dict[str, Any]]
    total: int


class Client:
    """A connection; close it, or use it in a `with` block.

    The key is read from $MP_API_KEY alone and kept in the session's headers alone.

    Args:
        endpoint: address of the server; None takes $MP_API_ENDPOINT, else the Materials Project.
        patience: time limits and tries.
        say: is told of waits, in a sentence.

    Raises:
        MaterialsProjectError: mp-api is not installed, the key is missing or malformed, or the server does
            not answer.
    """

    def __init__(
        self, endpoint: str | None = None, patience: Patience | None = None, say: Any = None
    ) -> None:
        try:
            from mp_api.client.core.settings import MAPI_CLIENT_SETTINGS
        except ImportError:
            raise MaterialsProjectError("mp-api is not installed; run: pip install 'softlyte[mp]'") from None
        key = _key()
        self.endpoint = _checked(
            endpoint or os.environ.get(ENDPOINT_VARIABLE) or MAPI_CLIENT_SETTINGS.ENDPOINT
        )
        self._session = PatientSession(patience or Patience(), say)
        self.database_version = self._heartbeat()
        self._resters = {kind: self._rester(kind, key) for kind in _RESTERS}

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()

    def __repr__(self) -> str:
        return f"Client({self.endpoint!r}, database {self.database_version})"

    def page(
        self, kind: str, criteria: Mapping[str, Any], fields: Sequence[str], skip: int, limit: int
    ) -> Page:
        """Return one page of documents.

        Args:
            kind: summary, thermo or elasticity.
            criteria: at least one filter, as the server names it.
            fields: of the documents.
            skip: documents before the page.
            limit: documents on it.

        Raises:
            MaterialsProjectError: no usable answer, however often it was asked for.
        """
        if not criteria:
            raise ValueError("without a filter mp-api would copy the whole collection; give one")
        # Not through mp-api's own argument: it would build the schema of the collection once for each field.
        chosen = {"_fields": ",".join(fields), "_skip": skip, "_limit": limit}
        answer = self._resters[kind]._query_resource({**criteria, **chosen}, num_chunks=1, chunk_size=limit)
        documents, total = answer.get("data"), (answer.get("meta") or {}).get("total_doc")
        if not isinstance(documents, list) or not isinstance(total, int):
            raise MaterialsProjectError(
                f"the answer of {self.endpoint} holds no list of documents; "
                f"check {ENDPOINT_VARIABLE} or update mp-api"
            )
        return Page(documents, total)

    def thermo_type(self, name: str) -> str:
        """Return the name by which the server's filter knows a kind of energies."""
        names: set[str] = self._resters["thermo"]._check_thermo_types([name])
        return names.pop()

    def _heartbeat(self) -> str:
        """Return the version of the database; it is asked for without the key."""
        answer = self._session.get(urljoin(self.endpoint, "heartbeat")).json()
        version = answer.get("db_version") if isinstance(answer, dict) else None
        if not version:
            raise MaterialsProjectError(
                f"{self.endpoint} is no Materials Project server, it names no database version; "
                f"check {ENDPOINT_VARIABLE}"
            )
        return str(version)

    def _rester(self, kind: str, key: str) -> Any:
        """Return mp-api's client of one collection."""
        import importlib

        module, name = _RESTERS[kind]
        base = getattr(importlib.import_module(module), name)
        version = self.database_version
        # mp-api asks for the heartbeat by itself, without time limit or retry: it gets the one that is here.
        known = type(name, (base,), {"_get_heartbeat_info": staticmethod(lambda endpoint: (version, []))})
        return known(
            api_key=key,
            endpoint=self.endpoint,
            session=self._session,
            use_document_model=False,
            mute_progress_bars=True,
        )


def _key() -> str:
    """Return the key; what a mistyped one looks like is never shown."""
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key:
        raise MaterialsProjectError(
            f"there is no key of the Materials Project; get one from {KEY_PAGE} (free) and set {KEY_VARIABLE}"
        )
    if len(key) != _KEY_LENGTH or not key.isascii() or not key.isalnum():
        raise MaterialsProjectError(
            f"{KEY_VARIABLE} holds no key of the Materials Project, which has {_KEY_LENGTH} letters and "
            f"digits; copy it anew from {KEY_PAGE}"
        )
    return key


def _checked(endpoint: str) -> str:
    """Return an address with a slash at its end, to which the key may be sent."""
    parts = urlsplit(endpoint)
    if parts.username or parts.password:
        raise MaterialsProjectError(
            f"the address in {ENDPOINT_VARIABLE} holds a user or password; leave them out"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise MaterialsProjectError(
            f"the address {endpoint!r} is no web address; set {ENDPOINT_VARIABLE} like https://host/"
        )
    if parts.scheme == "http" and parts.hostname not in _LOCAL:
        raise MaterialsProjectError(
            f"the key would travel readable to {parts.hostname}; "
            f"set {ENDPOINT_VARIABLE} to an address with https"
        )
    return endpoint if endpoint.endswith("/") else f"{endpoint}/"
