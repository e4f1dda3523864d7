"""Plots of the draws: ArviZ draws them, and a page shows them in an appendix of its own."""

import base64
import re
import sys

import pytest
from typer.testing import CliRunner

from tests.report_example import normal
from tests.simulated import outcomes
from tolerance import DesignError, Settings, validate
from tolerance.cli.app import app
from tolerance.diagnostics.plots import plots
from tolerance.inference.fit import fit
from tolerance.reports import page

SHORT = Settings(chains=2, tune=200, draws=250, pilot_tune=100, pilot_draws=50, cores=1)


@pytest.fixture(scope="module")
def drawn():
    return plots(fit(validate(outcomes(n_items=40)), settings=SHORT))


def test_there_is_a_picture_of_traces_ranks_predictions_and_left_out_cells(drawn):
    assert [one.name for one in drawn] == ["Traces", "Ranks", "Predictions", "Left-out cells"]
    for one in drawn:
        picture = base64.b64decode(one.png)
        assert picture.startswith(b"\x89PNG")
        assert 1_000 < len(picture) < 100_000


def test_a_page_shows_them_inside_and_described(drawn):
    html = page.render(normal(), plots=drawn)
    images = re.findall(r'<img src="data:image/png;base64,([^"]+)" alt="([^"]{40,})">', html)
    assert [image for image, _ in images] == [one.png for one in drawn]
    assert '<a href="#plots">' in html
    assert 'id="plots"' not in page.render(normal())


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(DesignError, match=r"sparsity-tolerance\[plots\]"):
        plots(None)


def test_the_command_appends_them(demo, tmp_path):
    folder = demo[0] / "tolerance-demo"
    asked = ["report", str(folder / "analysis"), "--run", str(folder / "run"), "--plots", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "report.html").read_text().count('<img src="data:image/png') == 4
    lost = CliRunner().invoke(app, [*asked[:2], "--run", str(tmp_path / "none"), "--plots", "--out", str(tmp_path)])
    assert lost.exit_code != 0
    assert "--run" in lost.output + str(lost.exception)
