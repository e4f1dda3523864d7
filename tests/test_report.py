import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tolerance
from tests import golden
from tests.report_example import EXAMPLES, FAILED, censored, failed, hostile, level, many_methods, normal, without_dense
from tolerance.errors import StoreError
from tolerance.findings import Band, Report
from tolerance.reports import page
from tolerance.reports.pictures import screenshot
from tolerance.reports.svg import panels
from tolerance.stats.intervals import Estimate, Interval

CSS = Path(tolerance.__file__).parent / "templates" / "report.css"
needs_browser = pytest.mark.skipif(
    not any(map(shutil.which, screenshot.BROWSERS)), reason="no chromium: apt-get install chromium"
)


class Page(HTMLParser):
    """Ids, links, loads, elements and visible text of a page, read by a real parser."""

    def __init__(self, html):
        super().__init__()
        self.ids, self.links, self.loads, self.tags, self.data = [], [], [], [], {}
        self.attributes = set()
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name == "id":
                self.ids.append(value)
            elif name == "href" and tag == "a":
                self.links.append(value)
            elif name in ("src", "href"):
                self.loads.append(value)

    def handle_data(self, data):
        self.data.setdefault(self.tags[-1] if self.tags else "", []).append(data)

    @property
    def text(self):
        return " ".join(text for tag, texts in self.data.items() if tag not in ("script", "style") for text in texts)


@pytest.fixture(params=EXAMPLES, ids=lambda example: example.__name__)
def report(request):
    return request.param()


def test_ids_are_unique_and_every_link_has_its_target(report):
    read = Page(page.render(report))
    assert len(read.ids) == len(set(read.ids))
    assert {link[1:] for link in read.links} <= set(read.ids)
    assert all(link.startswith("#") for link in read.links)


def test_nothing_is_loaded_run_or_styled_inline(report):
    html = page.render(report)
    read = Page(html)
    assert read.loads == ["data:,"]
    assert "style" not in read.attributes
    assert not any(name.startswith("on") for name in read.attributes)
    assert read.tags.count("script") == 2
    assert 'script type="application/json"' in html
    assert Page(page.render(report, script=False)).tags.count("script") == 1


def test_the_policy_allows_this_style_sheet_alone(report):
    html = page.render(report)
    style = re.search(r"<style>(.*?)</style>", html, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src &#39;sha256-{digest}&#39;" in html
    assert "default-src &#39;none&#39;" in html


def test_rendering_twice_gives_the_same_bytes(report):
    assert page.render(report) == page.render(report)


def test_files_are_the_golden_ones_byte_for_byte(tmp_path):
    written = golden.write(tmp_path)
    assert written == sorted(path.relative_to(golden.GOLDEN) for path in golden.GOLDEN.rglob("report.*"))
    for path in written:
        assert (tmp_path / path).read_bytes() == (golden.GOLDEN / path).read_bytes(), (
            f"{path} changed: if it was meant, uv run python -m tests.golden"
        )


def test_the_page_holds_report_json(report, tmp_path):
    written = page.write(report, tmp_path / "new" / "folder")
    html = written.read_text(encoding="utf-8")
    embedded = re.search(r'id="report-json">(.*?)</script>', html, re.S)[1]
    beside = (written.parent / "report.json").read_text(encoding="utf-8")
    assert json.loads(embedded) == json.loads(beside)
    assert Report.model_validate_json(embedded) == Report.model_validate_json(beside)


def test_writing_leaves_page_and_numbers_and_replaces_old_ones(tmp_path):
    page.write(failed(), tmp_path)
    page.write(normal(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "report.csv",
        "report.html",
        "report.json",
        "report.md",
    ]
    assert "Conclusions are withheld" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StoreError, match="file: the report cannot be written"):
        page.write(normal(), blocked)


def test_hostile_names_are_text():
    html = page.render(hostile())
    assert "<script>alert" not in html
    assert html.count("</script>") == 2
    assert "<script>alert(`tiny-model`)</script>" in Page(html).text


@settings(max_examples=25, deadline=None)
@given(st.floats(0.5501, 0.6499), st.floats(0.501, 0.549), st.floats(0.651, 0.699))
def test_a_withheld_number_is_nowhere_to_be_seen(median, lower, upper):
    """Even if a withheld finding carried numbers, which the analysis never lets it, the page would not say them."""
    report = failed()
    dense = Estimate(value=median, interval=Interval(kind="eti", prob=0.9, lower=lower, upper=upper))
    leaking = {"level": level(median, lower, upper), "dense": dense}
    thresholds = [found.model_copy(update=leaking) for found in report.thresholds]
    curves = [c.model_copy(update={"band": _flat(median), "observed": []}) for c in report.curves]
    bare = report.model_copy(update={"curves": [c.model_copy(update={"band": None}) for c in curves]})
    leaky = report.model_copy(update={"thresholds": thresholds, "curves": curves})
    assert _without_data(page.render(leaky)) == _without_data(page.render(bare))


def test_contrasts_orderings_and_budgets_have_their_numbers_on_the_page():
    text = Page(page.render(normal())).text
    assert "On retrieval, top-k keeps more than streaming" in text
    assert "retrieval = aggregation (beyond the last level)" in text
    assert "fewer than 26" in text
    assert page.render(normal()).count('class="chance"') == 6


def test_published_means_say_that_pairing_is_lost_and_that_items_were_assumed():
    report = normal()
    data = report.data.model_copy(update={"n_means": 33, "assumed_items": 500})
    text = Page(page.render(report.model_copy(update={"data": data, "caveats": ["published means"]}))).text
    assert "33 published means of 6,336 answers" in text
    assert "pairing is lost, and intervals are wider" in text
    assert "Sensitivity analysis: 500 items assumed where none were given" in text


def test_a_failed_fit_shows_points_and_the_word_withheld():
    html = page.render(failed())
    assert 'class="point"' in html
    assert not re.search(r'class="(band90|band50|strip|median|drop)"', html)
    assert _without_data(html).count(f"the {FAILED}") >= len(failed().thresholds) + len(failed().comparisons)
    assert "Yes, by every check below" not in html


def test_without_dense_no_threshold_is_drawn_and_the_start_is_hatched():
    report = without_dense()
    html = page.render(report)
    assert 'class="band90"' in html
    assert 'class="strip"' not in html
    assert len(panels.panels(report)[0].hatched) == 2


def test_every_section_stands_in_order(report):
    ids = Page(page.render(report)).ids
    order = [
        "held",
        "curves",
        "thresholds",
        "comparisons",
        "instant",
        "data",
        "checks",
        "methods",
        "limits",
        "provenance",
        "copy",
        "glossary",
    ]
    assert [name for name in ids if name in order] == order


def test_the_instant_answer_stands_beside_the_posterior_with_its_disagreements():
    text = " ".join(Page(page.render(normal())).text.split())
    assert (
        "At 80% under top-k, accuracy on retrieval is 0.84 to 0.88 (90% credible interval) by the posterior, 0.74"
        in text
    )
    assert "9 lost, 4 gained; p 0.267" in text
    assert "significan" not in text.lower()


def test_a_withheld_fit_leaves_the_instant_answer_and_no_threshold_beside_it():
    html = _without_data(page.render(failed()))
    section = html[html.index('id="instant"') : html.index('id="data"')]
    assert "stand although it is withheld" in section
    assert "there is no posterior to set beside these numbers" in section
    assert section.count('<span class="why">withheld</span>') == len(failed().thresholds)
    assert "71%" in section


def test_a_report_without_an_instant_answer_has_no_such_section():
    assert 'id="instant"' not in page.render(normal().model_copy(update={"instant": None, "disagreements": []}))


def test_warnings_lead_to_their_place():
    html = page.render(failed())
    assert '<a href="#checks">2 of 5 checks failed: conclusions withheld</a>' in html
    assert '<a href="#data">7 answers could not be read</a>' in html
    assert '<a href="#thresholds">4 thresholds outside the measured range</a>' in page.render(censored())
    assert '<a href="#limits">No dense baseline: no thresholds</a>' in page.render(without_dense())


def test_censored_strips_have_an_arrow_and_no_marker():
    retrieval, multi_hop = panels.panels(censored())
    beyond, below = retrieval.series[1].strip, multi_hop.series[1].strip
    assert (beyond.open_low, beyond.open_high, beyond.median) == (False, True, None)
    assert (below.open_low, below.open_high, below.median) == (True, False, None)
    assert beyond.low > below.high


def test_strips_contain_their_median_and_stay_in_the_panel(report):
    for panel in panels.panels(report):
        for strip in filter(None, (one.strip for one in panel.series)):
            assert panels.LEFT <= strip.low <= strip.high <= panels.RIGHT
            assert strip.median is None or strip.low <= strip.median <= strip.high


def test_panels_are_described_in_words():
    first = panels.panels(normal())[0]
    assert first.description.startswith(
        "Accuracy against sparsity. top-k: threshold 91.2%; observed accuracy 0.98 at 0%"
    )


def test_methods_in_one_panel_never_share_a_style():
    shown = [[one.style for one in panel.series] for panel in panels.panels(many_methods())]
    assert shown == [[1, 2, 3, 4, 5, 6], [1, 2]]


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_text_and_lines_have_contrast(mode):
    colours = _colours(mode)
    for name in ("fg", "muted", "link", *(f"m{i}" for i in range(1, 7))):
        assert _contrast(colours[name], colours["bg"]) >= 4.5, name
    for name in ("ok", "open", "bad"):
        assert _contrast(colours[name], colours[f"{name}-bg"]) >= 4.5, name
    for name in ("fg", "muted", "link"):
        assert _contrast(colours[name], colours["soft"]) >= 4.5, name


def test_a_page_stays_small():
    assert len(page.render(normal())) < 200_000


def test_importing_the_reports_loads_no_template_engine():
    code = "import sys, tolerance.reports, tolerance.reports.words.sentences; sys.exit('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_picture_needs_a_browser(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StoreError, match="apt-get install chromium"):
        screenshot.take(page.write(normal(), tmp_path), tmp_path / "a.png")


@pytest.mark.browser
@needs_browser
def test_a_picture_has_the_size_that_was_asked_for(tmp_path):
    png = screenshot.take(page.write(hostile(), tmp_path), tmp_path / "a.png", width=640, height=480).read_bytes()
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(png[16:20]), int.from_bytes(png[20:24])) == (640, 480)


@pytest.mark.browser
@needs_browser
def test_a_browser_reports_no_violation(tmp_path):
    written = page.write(hostile(), tmp_path)
    command = [screenshot.browser(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--v=0", "--dump-dom"]
    done = subprocess.run([*command, written.as_uri()], capture_output=True, text=True, timeout=90, check=True)
    assert "<h1>" in done.stdout
    assert "CONSOLE" not in done.stderr


def _flat(share):
    grid = [0.0, 0.5, 0.9]
    names = ("median", "lower_50", "upper_50", "lower_90", "upper_90")
    return Band(sparsity=grid, **{name: [share] * len(grid) for name in names})


def _without_data(html):
    """The page without its data block."""
    html = re.sub(r'<script type="application/json".*?</script>', "", html, flags=re.S)
    return re.sub(r'<pre class="csv".*?</pre>', "", html, flags=re.S)


def _colours(mode):
    light, dark = re.findall(r":root \{(.*?)\}", CSS.read_text(encoding="utf-8"), re.S)[:2]
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", light if mode == "light" else dark))


def _contrast(a, b):
    """Contrast ratio of WCAG 2."""
    bright, dim = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def _luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
