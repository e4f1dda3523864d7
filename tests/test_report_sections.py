"""Sections of a page as objects: their one list, sections of others, and what templates may name."""

import inspect
import json
import os
import re
import subprocess
import sys
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from jinja2.defaults import DEFAULT_FILTERS

from tests.report_example import EXAMPLES, by_axis, failed, hostile, normal
from tolerance.errors import DesignError, SchemaError
from tolerance.findings import Plot, Report
from tolerance.reports import page
from tolerance.reports.page.environment import FILTERS
from tolerance.reports.sections import OURS, SECTIONS, Section, plots, section, sections

ROOT = Path(__file__).parent.parent
PLUGIN = ROOT / "tests" / "plugin"
EXAMPLE = PLUGIN / "tolerance_sample_plugin" / "section.py"
DOCUMENT = (ROOT / "docs" / "reports.md").read_text(encoding="utf-8")
SHIPPED = [*OURS, plots.section(())]
ENERGY = {"energy": {"top-k": 0.42, "<b>{{ 7 * 7 }}</b>": 1.5}}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package with the example's entry point, as an installer leaves it; what it opens is gone afterwards."""

    def install(target="tolerance_sample_plugin.section:SECTION", *, code=None):
        folder = tmp_path / "site"
        record = folder / "energy_sections-1.2.dist-info"
        record.mkdir(parents=True)
        (record / "METADATA").write_text("Metadata-Version: 2.1\nName: energy-sections\nVersion: 1.2\n")
        (record / "entry_points.txt").write_text(f"[tolerance.sections]\nenergy = {target}\n")
        if code is not None:
            (folder / f"{target.partition(':')[0]}.py").write_text(code)
        monkeypatch.setattr(SECTIONS, "_loaded", {})
        monkeypatch.delitem(sys.modules, "mine", raising=False)
        monkeypatch.syspath_prepend(str(PLUGIN))
        monkeypatch.syspath_prepend(str(folder))
        return os.pathsep.join([str(folder), str(PLUGIN)])

    return install


def with_energy(report):
    return report.model_copy(update={"extra": ENERGY})


def code(**given):
    """A module with a section that is as small as can be but for some fields."""
    plain = {"id": "'mine'", "title": "'Mine'", "rows": "lambda report: {'n': 1}", "template": "'<p>{{ n }}</p>'"}
    said = ", ".join(f"{name}={value}" for name, value in (plain | given).items())
    return f"from tolerance.reports.sections import Section\nSECTION = Section({said})\n"


def anchors(html):
    return re.findall(r'<section aria-labelledby="([\w-]+)"', html)


# Sections of others


def test_a_section_of_a_package_stands_in_its_place_and_in_the_contents(installed):
    installed()
    html = page.render(with_energy(normal()))
    found = anchors(html)
    assert found[found.index("data") + 1] == "energy"
    assert '<li><a href="#energy">Energy</a></li>' in html
    assert '<h2 id="energy">Energy<a class="anchor" href="#energy"' in html
    assert "Measured at the socket: 1.92 kWh." in html


def test_what_a_report_carries_for_others_is_text_and_is_never_run(installed):
    installed()
    html = page.render(with_energy(normal()))
    assert "&lt;b&gt;{{ 7 * 7 }}&lt;/b&gt;" in html
    assert "<b>{{" not in html


def test_what_a_report_carries_for_others_goes_through_report_json_untouched(tmp_path):
    report = normal().model_copy(update={"extra": {"theirs": {"a": [1, 2.5, None, True, "<b>"], "": {}}}})
    page.write(report, tmp_path)
    text = (tmp_path / "report.json").read_text(encoding="utf-8")
    assert Report.model_validate_json(text).extra == report.extra
    assert json.loads(text)["extra"] == report.extra


def test_reports_that_carry_nothing_have_no_such_field():
    assert "extra" not in json.loads(normal().model_dump_json())


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.__name__)
def test_a_section_that_has_nothing_to_say_leaves_the_page_as_it_is_to_the_byte(installed, example):
    before = page.render(example())
    installed()
    assert page.render(example()) == before


def test_the_command_line_finds_sections_of_packages(installed, tmp_path):
    there = installed()
    page.write(with_energy(normal()), tmp_path / "there")
    command = [sys.executable, "-m", "tolerance", "report", str(tmp_path / "there"), "--out", str(tmp_path / "page")]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": there}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Measured at the socket: 1.92 kWh." in (tmp_path / "page" / "report.html").read_text(encoding="utf-8")


def test_the_recipe_is_the_example():
    said = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    shown = "\n".join(f"    {line}" if line else "" for line in EXAMPLE.read_text(encoding="utf-8").splitlines())
    assert shown in said


def test_a_template_may_be_a_file_of_the_package(installed, tmp_path):
    (tmp_path / "mine.html.j2").write_text("<p>From a file: {{ n }}</p>\n")
    file = f"Path({str(tmp_path)!r}, 'mine.html.j2')"
    installed("mine:SECTION", code="from pathlib import Path\n" + code(template=file))
    assert "<p>From a file: 1</p>" in page.render(normal())


def test_a_section_without_a_place_comes_last(installed):
    installed("mine:SECTION", code=code())
    assert anchors(page.render(normal()))[-1] == "mine"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"after": "'nowhere'"}, r"'mine' follows 'nowhere'\. There is: verdicts, cut, held"),
        ({"id": "'data'"}, r"'data' is there twice"),
        ({"id": "'not-a-name'"}, r"'not-a-name': an id has small letters"),
        ({"rows": "lambda report: [1]"}, r"'mine': its rows are a list"),
        ({"template": "'{{ missing }}'"}, r"sections/mine\.html\.j2 cannot be rendered"),
        ({"template": "'{% if %}'"}, r"sections/mine\.html\.j2 cannot be rendered"),
    ],
)
def test_a_section_that_cannot_stand_on_a_page_is_named(installed, given, said):
    installed("mine:SECTION", code=code(**given))
    with pytest.raises((DesignError, SchemaError), match=said):
        page.render(normal())


def test_what_is_no_section_is_refused(installed):
    installed("mine:SECTION", code="SECTION = 'a text'\n")
    with pytest.raises(SchemaError, match="report section 'energy': 'a text' is none"):
        page.render(normal())


def test_a_section_may_follow_one_that_follows_another():
    def one(name, after=None):
        return Section(id=name, title=name, rows=lambda _: None, after=after)

    asked = [one("c", "b"), one("a"), one("z"), one("b", "a")]
    assert [found.id for found in section.placed(asked)] == ["a", "b", "c", "z"]


def test_names_that_the_page_gives_win_over_those_of_rows(installed):
    installed("mine:SECTION", code=code(rows="lambda report: {'script': '<script>', 'section': 1, 'n': 1}"))
    assert "mine" in anchors(page.render(normal(), script=False))


# Templates of a team


def test_a_team_replaces_the_template_of_a_section(installed, tmp_path):
    installed()
    theirs = tmp_path / "sections"
    theirs.mkdir()
    (theirs / "energy.html.j2").write_text("<p>Ours</p>{% include 'shipped/sections/energy.html.j2' %}")
    (theirs / "budgets.html.j2").write_text("{% for row in rows %}<p>{{ row.tokens[0] }}</p>{% endfor %}")
    html = page.render(with_energy(normal()), template_dir=tmp_path)
    assert "<p>Ours</p><p>Measured at the socket" in html
    assert "<p>61</p>" in html
    assert '<h2 id="budgets">' in html


def test_a_team_wraps_the_block_of_a_section(installed, tmp_path):
    installed()
    (tmp_path / "report.html.j2").write_text(
        '{% extends "shipped/report.html.j2" %}{% block energy %}<div>{{ super() }}</div>{% endblock %}'
        "{% block data %}<p>{{ report.data.models | listed }}</p>{% endblock %}"
    )
    html = page.render(with_energy(normal()), template_dir=tmp_path)
    assert '<div><section aria-labelledby="energy">' in html
    assert "<p>tiny-model</p>" in html
    assert "data" not in anchors(html)


def test_a_missing_name_in_a_teams_section_is_an_error_that_names_the_file(tmp_path):
    (tmp_path / "sections").mkdir()
    (tmp_path / "sections" / "data.html.j2").write_text("{{ numbers }}")
    with pytest.raises(DesignError, match=r"sections/data\.html\.j2 cannot be rendered"):
        page.render(normal(), template_dir=tmp_path)


# What templates may count on


@pytest.mark.parametrize("example", [normal, by_axis, failed, hostile])
def test_sections_stand_in_the_order_of_their_list_and_of_the_contents(example):
    html = page.render(example(), plots=[Plot(name="trace", about="Chains.", png="iVBORw0KGgo=")])
    listed = [one.id for one in sections() if one.title]
    found = anchors(html)
    assert found == [name for name in listed if name in found]
    assert found == re.findall(r'<li><a href="#([\w-]+)">', html[: html.index("</nav>")])
    assert "plots" in found


def test_every_section_of_ours_has_a_file_and_a_template_of_its_name():
    shipped = {path.name for path in files("tolerance").joinpath("templates", "sections").iterdir()}
    assert {name for name in shipped if not name.startswith("_")} == {f"{one.id}.html.j2" for one in SHIPPED}
    for one in SHIPPED:
        assert Path(inspect.getfile(one.rows)).stem == one.id


def test_templates_are_given_values_and_no_module():
    for one in OURS:
        values = one.values(by_axis()) or {}
        assert not any(inspect.ismodule(value) or callable(value) for value in values.values()), one.id


def names_of(one):
    """What the template of a section may name, by the type that its rows say they are."""
    said = plots.Values if one.id == "plots" else get_type_hints(one.rows)["return"]
    kinds = [kind for kind in (get_args(said) or (said,)) if kind is not type(None)]
    return [field.name for field in fields(kinds[0])]


def test_the_document_has_every_section_with_its_names():
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|$", DOCUMENT, re.M)
    assert {one.id: names_of(one) for one in SHIPPED} == {name: re.findall(r"`(\w+)`", text) for name, text in rows}


def test_the_document_has_every_filter_and_none_hides_one_of_jinja():
    said = re.search(r"Filters: (.*?)\.\n", DOCUMENT, re.S)[1]
    assert sorted(re.findall(r"`(\w+)`", said)) == sorted(FILTERS)
    assert not set(FILTERS) & set(DEFAULT_FILTERS)


def test_the_document_has_every_macro():
    text = files("tolerance").joinpath("templates", "macros.html.j2").read_text(encoding="utf-8")
    said = re.search(r"Macros.*?: (.*?)\.\n", DOCUMENT, re.S)[1]
    assert re.findall(r"`(\w+)\(", said) == re.findall(r"{% macro (\w+)\(", text)
