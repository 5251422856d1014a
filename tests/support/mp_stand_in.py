"""A stand-in for the Materials Project: an HTTP server on 127.0.0.1 that speaks what mp-api expects.

It knows the heartbeat and three collections (summary, thermo, elasticity), filters, fields and paging, wants
the key in the header x-api-key, refuses parameters that the real server would refuse, and keeps a log of what
it was asked. Faults are switched on for some requests: see `Fault`.

Ids and structures are simple made-up ones; formation energies and moduli are those of the shipped tables.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

KEY = "0123456789abcdefghijKLMNOPQRSTUV"
"""The key that the stand-in accepts."""

COLLECTIONS = {
    "/materials/summary/": "summary",
    "/materials/thermo/": "thermo",
    "/materials/elasticity/": "elasticity",
}
_PAGING = {"_skip", "_limit", "_fields"}
_FILTERS = {
    "summary": {"chemsys", "formula", "material_ids", "deprecated", "batch_id_not_eq"} | _PAGING,
    "thermo": {"chemsys", "formula", "material_ids", "thermo_types"} | _PAGING,
    "elasticity": {"material_ids"} | _PAGING,
}
_MOST = 1000


@dataclass
class Fault:
    """What goes wrong, and for which requests.

    Attributes:
        kind: an HTTP status such as 429; "hang" (says nothing), "truncated" (valid HTTP, half the JSON),
            "broken" (the connection ends in the middle of the announced length), "html" (a page of a proxy
            with status 200), "echo" (status 400 whose text repeats the key), or "redirect" (to `target`).
        path: part of the paths that it meets; "" meets all.
        times: requests that it meets; further ones are answered.
        after: requests to the path that are answered before it begins.
        retry_after: value of that header.
        target: address that a redirection leads to.
    """

    kind: int | str
    path: str = "/materials/"
    times: int = 10**9
    after: int = 0
    retry_after: str | None = None
    target: str = ""


@dataclass
class StandIn:
    """A running stand-in.

    Attributes:
        url: its address, with a slash at the end.
        documents: by collection.
        version: of the database.
        faults: switched on; the first that meets a request decides.
        log: path, parameters and key of every request.
        delay_s: seconds that each answer takes.
        max_hang_s: how long a request that hangs stays open.
    """

    url: str = ""
    documents: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    version: str = "2025.09.25"
    faults: list[Fault] = field(default_factory=list)
    log: list[tuple[str, dict[str, str], str | None]] = field(default_factory=list)
    delay_s: float = 0.0
    max_hang_s: float = 5.0
    lock: threading.Lock = field(default_factory=threading.Lock)
    closing: threading.Event = field(default_factory=threading.Event)

    def pages(self) -> list[tuple[str, str, str]]:
        """Return collection, filter and skip of every page that was asked for, in order."""
        found = []
        for path, query, _ in self.log:
            if path in COLLECTIONS:
                wanted = next(query[n] for n in ("chemsys", "formula", "material_ids") if n in query)
                found.append((COLLECTIONS[path], wanted, query.get("_skip", "0")))
        return found

    def meets(self, path: str) -> Fault | None:
        """Return the fault that meets a request, and count it."""
        with self.lock:
            for fault in self.faults:
                if fault.path in path and fault.times > 0:
                    if fault.after > 0:
                        fault.after -= 1
                        continue
                    fault.times -= 1
                    return fault
        return None


@contextmanager
def stand_in(documents: dict[str, list[dict[str, Any]]] | None = None) -> Iterator[StandIn]:
    """Run a stand-in while the block runs."""
    state = StandIn(documents=default_documents() if documents is None else documents)

    class Handler(_Handler):
        standing = state

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.closing.set()
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    standing: StandIn

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent: the log is kept in `StandIn.log`."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        key = self.headers.get("x-api-key")
        with self.standing.lock:
            self.standing.log.append((parts.path, query, key))
        if self.standing.delay_s:
            time.sleep(self.standing.delay_s)
        fault = self.standing.meets(parts.path)
        status, answer = self._answer(parts.path, query, key)
        if fault is None:
            self._send(status, json.dumps(answer).encode())
        else:
            self._fail(fault, json.dumps(answer).encode(), key)

    def _answer(self, path: str, query: dict[str, str], key: str | None) -> tuple[int, Any]:
        if path == "/heartbeat":
            held = {"status": "OK", "version": "0.86.4", "db_version": self.standing.version}
            return 200, held | {"access_controlled_batch_ids": ["gnome_r2scan_statics"]}
        if path not in COLLECTIONS:
            return 404, {"detail": "Not Found"}
        if key is None:
            return 401, {"message": "No API key found in request"}
        if key != KEY:
            return 403, {"message": "Invalid authentication credentials"}
        kind = COLLECTIONS[path]
        unknown = sorted(set(query) - _FILTERS[kind])
        if unknown:
            named = ", ".join(unknown)
            return 400, {"detail": f"Request contains query parameters which cannot be used: {named}"}
        limit = int(query.get("_limit", 100))
        if limit > _MOST:
            return 422, {"detail": [{"loc": ["query", "_limit"], "msg": f"must be at most {_MOST}"}]}
        found = [d for d in self.standing.documents[kind] if _matches(d, query)]
        skip = int(query.get("_skip", 0))
        fields = set(query.get("_fields", "material_id").split(","))
        page = [{n: v for n, v in d.items() if n in fields} for d in found[skip : skip + limit]]
        return 200, {"data": page, "meta": {"api_version": "0.86.4", "total_doc": len(found)}}

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _fail(self, fault: Fault, body: bytes, key: str | None) -> None:
        if isinstance(fault.kind, int):
            headers = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
            text = json.dumps({"detail": f"a fault {fault.kind} that was asked for"})
            self._send(fault.kind, text.encode(), headers)
        elif fault.kind == "hang":
            self.standing.closing.wait(self.standing.max_hang_s)
            self.close_connection = True
        elif fault.kind == "truncated":
            self._send(200, body[: len(body) // 2])
        elif fault.kind == "broken":
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        elif fault.kind == "html":
            self._send(200, b"<html><body>Sign in to the guest network</body></html>")
        elif fault.kind == "echo":
            self._send(400, json.dumps({"detail": f"the key {key} is odd"}).encode())
        elif fault.kind == "redirect":
            self._send(302, b"{}", {"Location": fault.target})
        else:
            raise ValueError(f"no fault {fault.kind!r}")


def _matches(document: dict[str, Any], query: dict[str, str]) -> bool:
    elements = document["chemsys"].split("-")
    if "chemsys" in query:
        wanted = query["chemsys"]
        if "*" in wanted:
            named = [e for e in wanted.split("-") if e != "*"]
            if len(elements) != len(wanted.split("-")) or not set(named) <= set(elements):
                return False
        elif document["chemsys"] not in wanted.split(","):
            return False
    if "formula" in query and document["formula_pretty"] not in query["formula"].split(","):
        return False
    if "material_ids" in query and document["material_id"] not in query["material_ids"].split(","):
        return False
    if "thermo_types" in query and document["thermo_type"] not in query["thermo_types"].split(","):
        return False
    return not ("deprecated" in query and str(document["deprecated"]) != query["deprecated"])


ROCKSALT, FLUORITE, BCC = "rock salt", "antifluorite", "bcc"
_CRYSTALS = (
    ("mp-1", "Li", BCC, 3.44),
    ("mp-2", "Na", BCC, 4.2),
    ("mp-3", "Cl", BCC, 4.2),
    ("mp-4", "O", BCC, 3.4),
    ("mp-10", "LiCl", ROCKSALT, 5.14),
    ("mp-11", "NaCl", ROCKSALT, 5.69),
    ("mp-12", "Li2O", FLUORITE, 4.62),
    ("mp-13", "Na2O", FLUORITE, 5.55),
    ("mp-100", "NaCl", ROCKSALT, 6.1),
    ("mp-20", "MgO", ROCKSALT, 4.26),
)


def default_documents() -> dict[str, list[dict[str, Any]]]:
    """Return ten crystals, their energies of two functionals and some elastic moduli, as documents."""
    return json.loads(_documents())


@cache
def _documents() -> str:
    from softlyte.datasets.formulas import normalise_formula
    from softlyte.datasets.tables import load_table

    energies = load_table("formation_energy").set_index("formula")["formation_energy_ev_atom"]
    moduli = load_table("elastic_moduli").drop_duplicates("formula").set_index("formula")
    documents: dict[str, list[dict[str, Any]]] = {"summary": [], "thermo": [], "elasticity": []}
    for name, formula, prototype, edge in _CRYSTALS:
        structure = _structure(formula, prototype, edge)
        system = "-".join(sorted(e.symbol for e in structure.elements))
        shared = {
            "material_id": name,
            "formula_pretty": formula,
            "chemsys": system,
            "deprecated": False,
            "builder_meta": {"license": "BY-C"},
            "last_updated": {"$date": "2025-08-01T12:00:00Z"},
        }
        above = 0.03 if name == "mp-100" else 0.0
        energy = float(energies.get(normalise_formula(formula), 0.0)) + above
        has = formula in moduli.index and name != "mp-100"
        documents["summary"].append(
            shared
            | {
                "structure": structure.as_dict(),
                "symmetry": {"symbol": "Im-3m" if prototype == BCC else "Fm-3m"},
                "nsites": len(structure),
                "theoretical": name == "mp-100",
                "energy_above_hull": above,
                "has_props": {"thermo": True, "elasticity": has},
            }
        )
        for thermo_type, kind in (("GGA_GGA+U", "GGA"), ("r2SCAN", "r2SCAN")):
            shift = 0.0 if kind == "GGA" or prototype == BCC else -0.05
            documents["thermo"].append(
                shared
                | {
                    "thermo_type": thermo_type,
                    "energy_type": kind,
                    "formation_energy_per_atom": energy + shift,
                    "energy_above_hull": above,
                    "entries": {kind: {"energy": -1.0, "structure": structure.as_dict()}},
                }
            )
        if has:
            k, g = 10.0 ** moduli.loc[formula, ["log10_bulk_modulus_gpa", "log10_shear_modulus_gpa"]].astype(
                float
            )
            documents["elasticity"].append(
                shared
                | {
                    "structure": structure.as_dict(),
                    "bulk_modulus": {"voigt": 1.01 * k, "reuss": 0.99 * k, "vrh": k},
                    "shear_modulus": {"voigt": 1.02 * g, "reuss": 0.98 * g, "vrh": g},
                    "universal_anisotropy": 0.2,
                    "state": "successful",
                    "warnings": [],
                }
            )
    return json.dumps(documents)


def _structure(formula: str, prototype: str, edge: float) -> Any:
    from pymatgen.core import Composition, Lattice, Structure

    if prototype == BCC:
        return Structure.from_spacegroup("Im-3m", Lattice.cubic(edge), [formula], [[0, 0, 0]])
    cation, anion = (e.symbol for e in Composition(formula).elements)
    if prototype == ROCKSALT:
        return Structure.from_spacegroup(
            "Fm-3m", Lattice.cubic(edge), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]]
        )
    return Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(edge), [cation, anion], [[0.25, 0.25, 0.25], [0, 0, 0]]
    )
