"""Pages that have arrived stay on disk until the tables are written: a killed run asks for none twice."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from softlyte.datasets.materials_project.client import Client, Page
from softlyte.datasets.materials_project.session import MaterialsProjectError
from softlyte.datasets.writing import write_bytes

Advance = Callable[[int, int], None]
"""Called with the documents that are there and those that there are in all."""


class PageStore:
    """The documents of some requests, from disk where they are there.

    Args:
        folder: of the pages; made when the first one comes.
        client: where others are fetched.
        page_size: documents of a request.
    """

    def __init__(self, folder: Path, client: Client, page_size: int) -> None:
        self._folder = folder
        self._client = client
        self._page_size = page_size

    def documents(
        self, kind: str, criteria: Sequence[Mapping[str, Any]], fields: Sequence[str], advance: Advance
    ) -> list[dict[str, Any]]:
        """Return all documents that match any of the criteria, each id once.

        Args:
            kind: summary, thermo or elasticity.
            criteria: filters, one for each request.
            fields: of the documents; `material_id` is one of them.
            advance: see `Advance`.

        Raises:
            MaterialsProjectError: no usable answer, or the collection changed between two pages.
        """
        found: dict[str, dict[str, Any]] = {}
        promised = 0
        for one in criteria:
            seen: set[str] = set()
            total, skip = None, 0
            while total is None or skip < total:
                page = self._page(kind, one, fields, skip)
                if total is None:
                    total = page.total
                    promised += total
                for document in page.documents:
                    name = str(document.get("material_id"))
                    seen.add(name)
                    found.setdefault(name, document)
                if page.total != total:
                    break
                skip += self._page_size
                advance(len(found), promised)
            if len(seen) != total or page.total != total:
                self.clear()
                raise MaterialsProjectError(
                    f"the Materials Project says that {page.total} {kind} documents match and sent "
                    f"{len(seen)}; it may be changing just now: run the same command again"
                )
        advance(len(found), len(found))
        return list(found.values())

    def clear(self) -> None:
        """Forget all pages."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _page(self, kind: str, criteria: Mapping[str, Any], fields: Sequence[str], skip: int) -> Page:
        request = [kind, sorted(criteria.items()), list(fields), skip, self._page_size]
        name = hashlib.sha256(json.dumps(request).encode()).hexdigest()[:24]
        path = self._folder / f"{kind}-{name}.json.gz"
        kept = _read(path)
        if kept is not None:
            return kept
        page = self._client.page(kind, criteria, fields, skip, self._page_size)
        content = json.dumps({"total": page.total, "documents": page.documents}).encode()
        write_bytes(path, gzip.compress(content, compresslevel=5, mtime=0))
        return page


def _read(path: Path) -> Page | None:
    """Return a page from disk, None if it is not there or damaged."""
    try:
        content = json.loads(gzip.decompress(path.read_bytes()))
        return Page(content["documents"], content["total"])
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError):
        return None
