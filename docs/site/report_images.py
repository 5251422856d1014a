"""Take the pictures of a report that the documents show: `python docs/site/report_images.py RUN`.

Needs the extra test (selenium), Chromium and chromedriver. RUN is the folder of a finished screening.
"""

from __future__ import annotations

import base64
import shutil
import sys
import tempfile
from pathlib import Path

from selenium import webdriver

from softlyte.screening.report import write_report

IMAGES = Path(__file__).resolve().parents[1] / "images"
DESKTOP, PHONE = (1280, 900), (390, 844)
PICTURES = (
    ("report-desktop.png", DESKTOP, "", "header", 900, False),
    ("report-map.png", DESKTOP, "map", "#map", 680, False),
    ("report-windows.png", DESKTOP, "windows", "#windows", 830, False),
    ("report-elements.png", DESKTOP, "elements", "#elements", 620, False),
    ("report-grey.png", DESKTOP, "map", "#map", 680, True),
    ("report-phone.png", PHONE, "", "#cards .card", 1000, False),
    ("report-phone-map.png", PHONE, "map", "#map", 780, False),
)
"""File, window, figure to wait for, element at the top, height in pixels, without colour."""


def browser() -> webdriver.Chrome:
    """Return a headless Chromium."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
    ):
        options.add_argument(flag)
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))


def main(folder: str) -> None:
    """Write the report of a run to a temporary place and the pictures into docs/images."""
    with tempfile.TemporaryDirectory() as place:
        page = write_report(folder, Path(place) / "report.html")
        driver = browser()
        for name, (width, height), figure, top, shown, grey in PICTURES:
            driver.execute_cdp_cmd(
                "Emulation.setDeviceMetricsOverride",
                {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
            )
            driver.get(page.as_uri())
            if grey:
                driver.execute_script("document.documentElement.style.filter = 'grayscale(1)'")
            driver.execute_script("document.querySelector(arguments[0]).scrollIntoView()", top)
            if figure:
                wait_for(driver, f"return document.getElementById('figure-{figure}').dataset.drawn === 'yes'")
            at = driver.execute_script(
                "return document.querySelector(arguments[0]).getBoundingClientRect().top + scrollY", top
            )
            clip = {"x": 0, "y": max(0, at - 8), "width": width, "height": shown, "scale": 1}
            shot = driver.execute_cdp_cmd(
                "Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip}
            )
            (IMAGES / name).write_bytes(smaller(base64.b64decode(shot["data"])))
        driver.quit()


def wait_for(driver: webdriver.Chrome, script: str) -> None:
    """Wait for a script to return true."""
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(driver, 120, 0.1).until(lambda d: d.execute_script(script))


def smaller(png: bytes) -> bytes:
    """Return a PNG with a palette of 128 colours: a third of the size, and nothing to see of it."""
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(128).save(out, "png", optimize=True)
    return out.getvalue()


if __name__ == "__main__":
    main(sys.argv[1])
