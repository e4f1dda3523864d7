"""The page in a real browser: Debian's chromium, driven by Playwright, with axe-core from its Python package.

One browser for all tests. Without chromium they are skipped, on CI they fail.
"""

import os
import re
import shutil
import subprocess
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from pypdf import PdfReader

from tests.report_example import audits, by_axis, by_axis_failed, hostile, normal
from tolerance.reports import page
from tolerance.reports.pictures import screenshot

CHROMIUM = next(filter(None, map(shutil.which, screenshot.BROWSERS)), None)
playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: uv sync installs it")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe-core: uv sync installs it")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None and not os.environ.get("CI"), reason="no chromium: apt-get install chromium"),
    # greenlet, under Playwright, about its own insides
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
VIEWS = {
    "1280": {"viewport": {"width": 1280, "height": 900}},
    "390": {"viewport": {"width": 390, "height": 844}},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "forced-colours": {"viewport": {"width": 1280, "height": 900}, "forced_colors": "active"},
}


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Pages by name."""
    folder = tmp_path_factory.mktemp("pages")
    made = {"by-axis": by_axis(), "failed": by_axis_failed(), "hostile": hostile(), "normal": normal()}
    found = {name: page.write(report, folder / name) for name, report in made.items()}
    found["comparison"] = page.write(by_axis(), folder / "comparison", kind="comparison")
    found["audit"] = page.write(audits(), folder / "audit")
    found["no-script"] = page.write(by_axis(), folder / "no-script", script=False)
    return found


class Opened:
    """A page with what it asked for and what it complained of."""

    def __init__(self, browser, path, **settings):
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **settings})
        self.page = self.context.new_page()
        self.requests, self.said = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.goto(path.as_uri())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.context.close()


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", ["by-axis", "failed", "comparison", "audit"])
def test_axe_finds_nothing(browser, written, name, view):
    # axe is a script that the page's own policy would block
    with Opened(browser, written[name], bypass_csp=True, **VIEWS[view]) as opened:
        opened.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
        found = axe.Axe().run(opened.page)
        assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("name", ["by-axis", "failed", "hostile", "comparison", "no-script"])
def test_nothing_is_asked_for_and_nothing_is_complained_of(browser, written, name):
    with Opened(browser, written[name]) as opened:
        opened.page.wait_for_load_state("networkidle")
        assert [url for url in opened.requests if not url.startswith("data:")] == [written[name].as_uri()]
        assert opened.said == []


@pytest.mark.skipif(
    not (shutil.which("java") and os.environ.get("VNU_JAR")),
    reason="no validator: install java, set VNU_JAR to vnu.jar",
)
def test_the_w3c_validator_finds_no_error(written):
    # it reads the policy of the page, but not the hashes in it
    command = ["java", "-jar", os.environ["VNU_JAR"], "--errors-only", *map(str, written.values())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_policy_blocks_what_is_injected(browser, written, tmp_path):
    html = written["normal"].read_text(encoding="utf-8")
    evil = '<script>window.ran = 1</script><img src="http://127.0.0.1:9/x.png" onerror="window.ran = 2">'
    (tmp_path / "evil.html").write_text(html.replace("<h1>", f"{evil}<h1>"), encoding="utf-8")
    with Opened(browser, tmp_path / "evil.html") as opened:
        assert opened.page.evaluate("window.ran") is None
        assert len([text for text in opened.said if "Content Security Policy" in text]) >= 2


def test_hostile_names_are_text(browser, written):
    with Opened(browser, written["hostile"]) as opened:
        assert "<script>alert(`retrieval`)</script>" in opened.page.inner_text("main")
        assert opened.page.evaluate("document.querySelectorAll('main script').length") == 0


@pytest.mark.parametrize("settings", [{"java_script_enabled": False}, {}], ids=["off", "on"])
def test_without_script_only_the_save_buttons_are_gone(browser, written, settings):
    with Opened(browser, written["by-axis"], **settings) as opened:
        shown = opened.page.locator("button").first.is_visible()
        assert shown == (settings == {})
        assert opened.page.locator("svg.panel").count() == 3
        assert opened.page.locator("#thresholds").is_visible()


def test_a_page_for_mail_has_no_script_and_no_button(browser, written):
    with Opened(browser, written["no-script"]) as opened:
        kinds = opened.page.evaluate("[...document.scripts].map(one => one.type)")
        assert kinds == ["application/json"]
        assert opened.page.locator("button").count() == 0


@pytest.mark.parametrize(("name", "kept"), [("report.json", "report-json"), ("report.csv", "csv")])
def test_numbers_are_saved_as_they_stand_in_the_page(browser, written, name, kept):
    with Opened(browser, written["by-axis"]) as opened:
        with opened.page.expect_download() as download:
            opened.page.click(f"button[data-save='{name}']")
        assert download.value.suggested_filename == name
        text = opened.page.evaluate(f"document.getElementById('{kept}').textContent")
        assert Path(download.value.path()).read_text(encoding="utf-8") == text


def test_every_link_and_box_can_be_reached_by_key(browser, written):
    with Opened(browser, written["comparison"]) as opened:
        opened.page.keyboard.press("Tab")
        assert opened.page.evaluate("document.activeElement.className") == "skip"
        opened.page.keyboard.press("Enter")
        opened.page.wait_for_url("**/report.html#main")
        boxes = "[...document.querySelectorAll('.scroll')].filter(one => one.scrollWidth > one.clientWidth)"
        assert opened.page.evaluate(f"{boxes}.every(one => one.tabIndex === 0)")
        opened.page.focus("summary >> nth=0")
        opened.page.keyboard.press("Enter")
        assert opened.page.locator("details").first.get_attribute("open") is not None


def test_ids_are_unique_and_every_deep_link_lands(browser, written):
    with Opened(browser, written["by-axis"]) as opened:
        ids = opened.page.evaluate("[...document.querySelectorAll('[id]')].map(one => one.id)")
        assert len(ids) == len(set(ids))
        targets = opened.page.evaluate("[...document.querySelectorAll('a[href^=\"#\"]')].map(one => one.hash.slice(1))")
        assert {*targets} <= {*ids}
    with Opened(browser, written["by-axis"], viewport={"width": 1280, "height": 500}) as opened:
        # the row lies in a box that is closed until somebody follows the link
        opened.page.goto(f"{written['by-axis'].as_uri()}#C9")
        opened.page.wait_for_timeout(100)
        assert opened.page.locator("#C9").is_visible()


@pytest.mark.parametrize("width", [390, 320, 1280])
@pytest.mark.parametrize("name", ["by-axis", "failed", "hostile"])
def test_the_page_never_scrolls_sideways(browser, written, name, width):
    with Opened(browser, written[name], viewport={"width": width, "height": 844}) as opened:
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_matrix_fits_its_column(browser, written):
    with Opened(browser, written["by-axis"]) as opened:
        overflow = "one => one.scrollWidth - one.clientWidth"
        assert opened.page.locator(".scroll:has(.matrix)").first.evaluate(overflow) <= 0


@pytest.mark.parametrize("name", ["by-axis", "failed", "audit"])
def test_a_printed_page_holds_every_panel_and_row(browser, written, tmp_path, name):
    """Each word of every row, caption and figure is on paper as often as on the page, closed boxes included."""
    with Opened(browser, written[name]) as opened:
        opened.page.emulate_media(media="print")
        places = "[...document.querySelectorAll('main tr, main figcaption, main svg text')]"
        shown = opened.page.evaluate(f"{places}.map(one => one.innerText ?? one.textContent)")
        opened.page.pdf(path=tmp_path / "a.pdf", prefer_css_page_size=True)
    read = " ".join(one.extract_text() for one in PdfReader(tmp_path / "a.pdf").pages)
    # ligatures are letters again
    printed = Counter(re.findall(r"\w+", unicodedata.normalize("NFKC", read)))
    wanted = Counter(word for text in shown for word in re.findall(r"[A-Za-z]{4,}", text))
    # a heading that only a screen reader is told
    del wanted["Strip"]
    assert wanted.total() > 100
    assert not wanted - printed
    digits = sum(len(re.findall(r"\d", text)) for text in shown)
    assert digits <= sum(len(re.findall(r"\d", word)) * n for word, n in printed.items())
