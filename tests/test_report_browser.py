"""The report in a real browser: no console message, nothing fetched, sorts, filters, opens cards."""

import shutil
from collections.abc import Iterator

import pytest

from softlyte.screening.report import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

pytestmark = [
    pytest.mark.skipif(
        CHROMIUM is None or DRIVER is None,
        reason="Chromium or chromedriver is missing (Debian: apt-get install chromium chromium-driver)",
    ),
    pytest.mark.slow,
]

FIGURES = ("map", "tradeoffs", "windows", "cost", "elements", "funnel")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is missing (the extra test)")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    profile = tmp_path_factory.mktemp("profile")
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={profile}",
        "--window-size=1280,900",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_page_load_timeout(300)
    driver.set_script_timeout(120)
    yield driver
    driver.quit()


def _open(browser, path, width: int = 1280, height: int = 900) -> None:
    browser.get_log("browser")
    browser.get_log("performance")
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
    )
    browser.get(path.as_uri())
    _wait(browser, "return document.documentElement.dataset.ready === 'yes'")


def _wait(browser, script: str, seconds: float = 60.0) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, seconds, 0.05).until(lambda b: b.execute_script(script), script)


def _draw_all(browser) -> None:
    for name in FIGURES:
        browser.execute_script(f"document.getElementById('figure-{name}').scrollIntoView()")
        _wait(browser, f"return document.getElementById('figure-{name}').dataset.drawn === 'yes'")


def _column(browser, name: str) -> list[str]:
    return browser.execute_script(
        f"return [...document.querySelectorAll('#grid td.c-{name}')].map((cell) => cell.textContent)"
    )


def _silent(browser) -> None:
    messages = [m["message"] for m in browser.get_log("browser")]
    assert messages == []


def _fetched(browser) -> list[str]:
    import json

    asked = []
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            asked.append(message["params"]["request"]["url"])
    # chrome: and chrome-untrusted: are the browser's own page of a new tab, which it opens with.
    return [url for url in asked if not url.startswith(("file:", "data:", "blob:", "chrome"))]


def test_everything_is_drawn_without_message_or_request(browser, made_up_run) -> None:
    _open(browser, write_report(made_up_run(10)))
    _draw_all(browser)
    _silent(browser)
    assert _fetched(browser) == []
    assert len(browser.find_elements("css selector", "#card-list .card")) == 10


def test_headings_sort(browser, made_up_run) -> None:
    _open(browser, write_report(made_up_run(60)))
    heading = browser.find_element("css selector", "th.c-stack_pressure_mpa")
    heading.find_element("css selector", "button").click()
    rising = [float(text) for text in _column(browser, "stack_pressure_mpa")]
    assert rising == sorted(rising)
    assert heading.get_attribute("aria-sort") == "ascending"
    heading.find_element("css selector", "button").click()
    falling = [float(text) for text in _column(browser, "stack_pressure_mpa")]
    assert falling == sorted(falling, reverse=True)
    assert falling[0] > rising[0]
    _silent(browser)


def test_filters_hold_for_table_cards_and_figures(browser, made_up_run) -> None:
    _open(browser, write_report(made_up_run(60)))
    _draw_all(browser)
    search = browser.find_element("id", "search")
    search.send_keys("Al -crystal oxychloride")
    _wait(browser, "return document.getElementById('count').textContent.startsWith('15 of 60')")
    assert all("Al" in formula for formula in _column(browser, "formula"))
    _wait(browser, "return document.querySelectorAll('#card-list .card').length === 12")
    drawn = (
        "return document.getElementById('figure-cost').data"
        ".reduce((sum, trace) => sum + trace.x.length, 0) === 15"
    )
    _wait(browser, drawn)
    search.clear()
    search.send_keys("nothing is like this")
    _wait(browser, "return document.getElementById('count').textContent.startsWith('No row')")
    browser.find_element("css selector", "#filters button[type=reset]").click()
    _wait(browser, "return document.getElementById('count').textContent === '60 of 60 rows'")
    _silent(browser)


def test_number_filter_leaves_what_meets_it(browser, made_up_run) -> None:
    _open(browser, write_report(made_up_run(60)))
    browser.find_element("css selector", "#limit-column option[value=sigma_ms_cm]").click()
    browser.find_element("css selector", "#limit-side option[value=high]").click()
    browser.find_element("id", "limit-value").send_keys("2")
    _wait(browser, "return !document.getElementById('count').textContent.startsWith('60')")
    assert all(float(text) >= 2 for text in _column(browser, "sigma_ms_cm"))


def test_the_keyboard_is_enough(browser, made_up_run) -> None:
    from selenium.webdriver.common.keys import Keys

    _open(browser, write_report(made_up_run(300)))
    browser.execute_script("document.querySelector('#grid tr[data-place]').focus()")
    for key, rank in ((Keys.ARROW_DOWN, "2"), (Keys.END, "300"), (Keys.HOME, "1")):
        browser.switch_to.active_element.send_keys(key)
        focused = browser.switch_to.active_element
        assert focused.find_element("css selector", "td.c-rank").text == rank
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert browser.find_element("css selector", "dialog[open] h3").text.startswith("1.")
    cells = browser.find_elements("css selector", "dialog .masses tr td:last-child")
    grams = [float(cell.text) for cell in cells]
    assert len(grams) == 3
    assert min(grams) > 0
    browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not browser.find_elements("css selector", "dialog[open]")
    assert browser.switch_to.active_element.tag_name == "tr"
    _silent(browser)


def test_a_point_shows_what_it_is(browser, made_up_run) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    _open(browser, write_report(made_up_run(1)))
    browser.execute_script("document.getElementById('figure-cost').scrollIntoView({block: 'center'})")
    _wait(browser, "return document.getElementById('figure-cost').dataset.drawn === 'yes'")
    point = browser.find_element("css selector", "#figure-cost .scatterlayer .point")
    ActionChains(browser).move_to_element(point).pause(0.5).perform()
    _wait(browser, "return document.querySelectorAll('#figure-cost .hoverlayer .hovertext').length > 0")
    assert "Li1AlCl4O0.5" in browser.find_element("css selector", "#figure-cost .hoverlayer").text


def test_hostile_texts_are_shown_and_not_run(browser, made_up_run, hostile_texts) -> None:
    _open(browser, write_report(made_up_run(12, hostile_texts), title=hostile_texts[1]))
    _draw_all(browser)
    # In one step: scrolling the table into view lays its rows out anew.
    browser.execute_script("document.querySelector('#grid tr[data-place]').click()")
    assert browser.execute_script("return window.attacked") is None
    assert _column(browser, "formula")[: len(hostile_texts)] == list(hostile_texts)
    assert browser.find_element("css selector", "h1").text == hostile_texts[1]
    links = browser.find_elements("css selector", "a[href^='javascript']")
    assert links == []
    assert browser.find_elements("css selector", "#card-list img") == []
    _silent(browser)


def test_rows_with_a_materials_project_id_link_to_its_page(browser, made_up_run) -> None:
    import pandas as pd

    folder = made_up_run(3)
    table = pd.read_csv(folder / "candidates.csv").assign(mp_id=["mp-22905", "", "javascript:alert(1)"])
    table.to_csv(folder / "candidates.csv", index=False)
    _open(browser, write_report(folder))
    links = browser.find_elements("css selector", "#card-list a[href*='materialsproject.org']")
    assert [link.get_attribute("href") for link in links] == [
        "https://materialsproject.org/materials/mp-22905"
    ]
    assert _column(browser, "mp_id") == ["mp-22905", "", "javascript:alert(1)"]
    _silent(browser)


def test_known_electrolytes_and_pressure_lines_are_on_the_map(browser, made_up_run) -> None:
    _open(browser, write_report(made_up_run(30)))
    _draw_all(browser)
    names = browser.execute_script("return document.getElementById('figure-map').data.map((t) => t.name)")
    assert {"known, modulus measured", "known, modulus computed"} <= set(names)
    marks = browser.execute_script(
        "return document.getElementById('figure-map').layout.annotations.map((a) => a.text)"
    )
    assert {"2 MPa, crystal", "2 MPa, glass", "target ≥ 1 mS/cm"} <= set(marks)
    whiskers = browser.execute_script(
        "return document.getElementById('figure-map').data.filter((t) => !t.name.startsWith('known'))"
        ".reduce((sum, t) => sum + t.error_y.array.filter((v) => v > 0).length, 0)"
    )
    assert whiskers == 12


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_its_width(browser, made_up_run, width: int) -> None:
    _open(browser, write_report(made_up_run(20)), width)
    _draw_all(browser)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    _silent(browser)


def test_ten_thousand_rows_stay_light(browser, made_up_run) -> None:
    path = write_report(made_up_run(10_000))
    assert path.stat().st_size < 25e6
    _open(browser, path)
    assert browser.execute_script("return document.querySelectorAll('#grid tr').length") < 80
    _draw_all(browser)
    browser.execute_script("const g = document.getElementById('grid'); g.scrollTop = g.scrollHeight")
    _wait(browser, "return [...document.querySelectorAll('#grid td.c-rank')].pop().textContent === '10,000'")
    assert browser.execute_script("return document.querySelectorAll('#grid tr').length") < 80
    _silent(browser)
