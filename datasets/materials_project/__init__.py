"""Energies, moduli and structures from the Materials Project, as tables with a card.

    from softlyte.datasets.materials_project import fetch
    fetched = fetch(["Li-Y-Cl"], "mp-li-y-cl")
    fetched.card.rows("thermo")

`query` says what is asked for, `session` how the network is treated, `client` speaks through mp-api,
`pages` keeps what has arrived, `records` turns documents into rows, `card` says what the tables are.
"""

from softlyte.datasets.materials_project.card import FetchCard as FetchCard
from softlyte.datasets.materials_project.card import load_fetched as load_fetched
from softlyte.datasets.materials_project.fetch import Fetched as Fetched
from softlyte.datasets.materials_project.fetch import fetch as fetch
from softlyte.datasets.materials_project.query import Query as Query
from softlyte.datasets.materials_project.query import read_query as read_query
from softlyte.datasets.materials_project.session import MaterialsProjectError as MaterialsProjectError
from softlyte.datasets.materials_project.session import Patience as Patience
