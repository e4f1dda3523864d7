"""What stands around the page: kinds, templates of teams, withheld numbers in every output, files beside it."""

import csv
import io
import json
import re
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from markupsafe import escape
from pydantic import BaseModel

from tests.fake_fit import fake_fit
from tests.report_example import (
    AXES_EXAMPLE,
    EXAMPLES,
    audits,
    budgets,
    by_axis,
    by_axis_failed,
    conclusion,
    conclusions,
    contrasts,
    failed,
    hostile,
    normal,
    ordering,
)
from tests.simulated import outcomes
from tolerance import findings, render, validate
from tolerance.comparison.arms import Arm
from tolerance.comparison.compare import compare
from tolerance.comparison.posterior import Fitted
from tolerance.errors import DesignError
from tolerance.reports import page, spreadsheet
from tolerance.reports.export import markdown
from tolerance.reports.pictures import figures
from tolerance.reports.sections import grades, verdict_matrix
from tolerance.reports.svg import forest
from tolerance.reports.withhold import CARRIES, withhold
from tolerance.reports.words import conclusions as words
from tolerance.reports.words import glyphs
from tolerance.stats.intervals import Estimate, Interval

SCHEMAS = Path(__file__).parent.parent / "docs" / "schemas"


def everything(report, folder):
    """All that is written of a report, as one text."""
    page.write(report, folder)
    written = [path.read_text(encoding="utf-8") for path in sorted(folder.iterdir())]
    drawn = [text for _, text in figures.svgs(report)]
    return "\n".join([*written, *drawn, report._repr_html_()])


def marked(value: Any, number: float) -> Any:
    """A finding with every estimate, interval and probability replaced by one number that nobody else writes."""
    if isinstance(value, list):
        return [marked(one, number) for one in value]
    if isinstance(value, float):
        return number
    if not isinstance(value, BaseModel):
        return value
    fixed = {"prob", "limit_k", "retention", "equivalence", "interval_prob", "decision_prob", "direction_prob"}
    return value.model_copy(
        update={name: marked(one, number) for name, one in value if name not in fixed and one is not None}
    )


def leaking(number: float) -> findings.Report:
    """A report of a fit that failed, its findings given one number by force wherever they can carry one."""
    sure = by_axis()
    forced = {
        name: [
            one.model_copy(
                update={field: marked(getattr(one, field), number) for field in CARRIES[type(one)]}
                | {"status": "withheld"}
            )
            for one in getattr(sure, name)
        ]
        for name in ("curves", "thresholds", "comparisons", "contrasts", "orderings", "budgets", "sensitivities")
    }
    conclusion = marked(conclusions(), number).model_copy(update={"fit_passed": False})
    more = {"shapes": marked(sure.shapes, number), "conclusions": [conclusion]}
    return by_axis_failed().model_copy(update={**forced, **more})


@cache
def said_of_a_third(folder: Path) -> str:
    return everything(leaking(0.333333), folder)


@settings(max_examples=4, deadline=None, phases=[Phase.generate])
@given(digits=st.integers(61_001, 89_999))
def test_a_withheld_number_is_nowhere(tmp_path_factory, digits):
    """Whatever number is withheld, page, JSON, CSV, Markdown, figures and notebooks are the same to the letter."""
    leaky = leaking(float(f"0.5{digits}"))
    assert leaky.model_dump_json().count(f"0.5{digits}".rstrip("0")) > 300
    third = said_of_a_third(tmp_path_factory.getbasetemp() / "third")
    assert everything(leaky, tmp_path_factory.mktemp("leaky")) == third
    assert "withheld" in third


def test_every_finding_with_a_state_is_known_to_lose_its_numbers():
    kinds = [one for one in vars(findings).values() if isinstance(one, type) and issubclass(one, findings.Finding)]
    assert {one for one in kinds if "status" in one.model_fields} == set(CARRIES)
    for kind, lost in CARRIES.items():
        assert set(lost) <= set(kind.model_fields)


def test_scrubbing_leaves_what_may_be_read():
    assert withhold(by_axis()) == by_axis()
    assert withhold(withhold(by_axis_failed())) == withhold(by_axis_failed())


def test_a_scrubbed_report_is_a_report():
    leaky = by_axis_failed().model_copy(
        update={
            "contrasts": contrasts(),
            "orderings": [ordering()],
            "budgets": budgets(),
            "conclusions": [conclusions()],
        }
    )
    clean = withhold(leaky)
    text = clean.model_dump_json()
    assert findings.Report.model_validate_json(text).model_dump_json() == text
    assert {at.verdict for one in clean.conclusions[0].conclusions for at in one.axes} <= set(glyphs.GLYPHS)


# The matrix


@pytest.mark.parametrize("flips", [0, 3, 9])
def test_flips_are_never_cut_from_the_first_rows(flips):
    turn = {"compute": "better", "KV bytes": "worse"}
    made = [conclusion(f"calm-{i}", {}, "robust") for i in range(8)]
    made += [conclusion(f"turn-{i}", turn, "axis-dependent") for i in range(flips)]
    found = verdict_matrix.matrix([conclusions().model_copy(update={"conclusions": made})])
    assert len(found.first) == max(verdict_matrix.FIRST, flips)
    assert [row.label.word for row in found.first[:flips]] == ["axis-dependent"] * flips
    assert len(found.first) + len(found.rest) == len(made)


def test_a_flip_names_both_directions_with_their_own_numbers():
    turn = conclusion("multi-hop", {"KV bytes": "worse"}, "axis-dependent")
    assert words.sentence(turn) == (
        "On multi-hop, top-k is more accurate than streaming at equal compute, parameters and 5 further axes (+0.06 at "
        "equal compute, 90% credible interval +0.03 to +0.09), but is less accurate at equal KV bytes (-0.05, 90% "
        "credible interval -0.08 to -0.02)."
    )


def test_an_undecided_conclusion_says_so_with_its_number():
    said = words.sentence(conclusion("retrieval", dict.fromkeys(AXES_EXAMPLE, "undecided"), "fragile"))
    assert said.startswith("On retrieval, it is undecided whether top-k or streaming is more accurate at equal compute")
    assert "90% credible interval" in said


def test_what_no_axis_decides_is_not_called_decided_on_some():
    open_ = conclusion("retrieval", dict.fromkeys(AXES_EXAMPLE, "undecided"), "fragile")
    whole = conclusions().model_copy(update={"conclusions": [open_, open_]})
    assert verdict_matrix.matrix([whole]).first[0].label.word == "undecided"
    assert words.leads([whole])[-1] == "Of 2 conclusions, 2 are undecided on every axis."


def test_every_verdict_and_label_has_a_glyph_of_its_own_and_a_word():
    for literal in (findings.AxisVerdict, findings.AxisLabel):
        assert set(get_args(literal)) <= set(glyphs.GLYPHS)
        assert get_origin(literal) is not None
    assert (
        {*get_args(findings.AxisLabel), "undecided"}
        == set(verdict_matrix.MEANING)
        == set(words.COUNTED)
        == set(words.ORDER)
    )


def test_the_grade_loses_a_dot_for_each_reason_and_prints_it():
    robust = conclusion("retrieval", {"compute": "no overlap"}, "robust")
    assert grades.grade(robust).words == "high"
    found = grades.grade(robust, normal())
    assert (found.dots, found.reasons) == ("●●●○", ["one model"])
    thin = [t.model_copy(update={"n_items": 24}) for t in normal().thresholds]
    found = grades.grade(robust, normal().model_copy(update={"thresholds": thin}))
    assert (found.words, found.reasons) == ("low", ["fewer than 100 items or 4 levels", "one model"])
    assert grades.grade(conclusion("retrieval", {}, "withheld")).dots == ""


def test_a_grade_looks_at_the_methods_that_are_compared_and_at_no_other():
    thin = [t.model_copy(update={"n_items": 40}) for t in normal().thresholds if t.sparsifier == "streaming"]
    few = "fewer than 100 items or 4 levels"
    for side, its_own in (("streaming", True), ("streaming@0.9,params>=8e9", True), ("streaming-2@0.9", False)):
        found = conclusion("retrieval", {}, "robust").model_copy(update={"treatment": side, "reference": "dense"})
        graded = grades.grade(found, normal().model_copy(update={"thresholds": thin}))
        assert (few in graded.reasons) == its_own


def test_thin_data_are_badged_on_figure_row_and_header():
    few = [t.model_copy(update={"n_items": 24}) for t in normal().thresholds[:1]]
    html = page.render(normal().model_copy(update={"thresholds": [*few, *normal().thresholds[1:]]}))
    assert "thin: n = 24" in html
    assert '<small class="thin">thin</small>' in html
    assert "Thin data behind 1 threshold" in html


@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 0.5), st.floats(0, 0.5)), min_size=1, max_size=6),
    st.floats(0.001, 0.2),
)
def test_strips_hold_their_median_and_stay_on_their_row(found, equivalence):
    estimates = [
        Estimate(value=v, interval=Interval(kind="eti", prob=0.9, lower=v - a, upper=v + b)) for v, a, b in found
    ]
    scale = forest.scale(estimates, equivalence)
    for strip in map(scale.strip, estimates):
        assert 0 < strip.low <= strip.middle <= strip.high < forest.WIDTH
    left, zero, right = scale.ticks
    assert 0 < left.at < zero.at < right.at < forest.WIDTH


# Kinds, templates, files


def test_a_comparison_asks_its_own_question():
    html = page.render(by_axis(), kind="comparison")
    assert "<h1>Is top-k more accurate than streaming, and at equal what?</h1>" in html
    assert "Comparison · 23 November 2026" in html


@pytest.mark.parametrize(
    ("found", "kind"), [(normal(), "audit"), (audits(), "card"), (normal(), "comparison"), ([], "audit")]
)
def test_a_kind_that_the_findings_are_not_made_for_is_refused(found, kind):
    with pytest.raises(DesignError, match=r"is made of|needs conclusions|at least one audit"):
        render(found, kind=kind)


def test_an_audit_shows_verdicts_parts_and_what_is_supported():
    html = page.render(audits())
    assert "<h1>Do these 2 claims hold?</h1>" in html
    assert "An &lt;invented&gt; source 2026" in html
    assert "⇅ 2 claims depend on the axis" in html
    assert html.count("What the evidence supports") == 2


def test_a_team_replaces_a_block_and_keeps_the_rest(tmp_path):
    (tmp_path / "report.html.j2").write_text(
        '{% extends "shipped/report.html.j2" %}{% block banner %}<p>Ours</p>{% endblock %}'
        "{% block glossary %}{% endblock %}"
    )
    html = page.render(normal(), template_dir=tmp_path)
    assert "<p>Ours</p>" in html
    assert '<dl class="glossary">' not in html
    assert 'id="thresholds"' in html


@pytest.mark.parametrize("fault", ["{{ no.such.name }}", "{% if %}"])
def test_a_template_that_fails_is_named(tmp_path, fault):
    (tmp_path / "report.html.j2").write_text(fault)
    with pytest.raises(DesignError, match=r"report\.html\.j2 cannot be rendered"):
        page.render(normal(), template_dir=tmp_path)
    with pytest.raises(DesignError, match="no such folder"):
        page.render(normal(), template_dir=tmp_path / "nowhere")


@pytest.mark.parametrize("kind", ["card", "audit"])
def test_the_published_schema_is_the_present_one(kind):
    name = {"card": "report", "audit": "audit"}[kind]
    assert json.loads((SCHEMAS / f"{name}.schema.json").read_text()) == page.schema(kind)


def test_the_csv_has_a_row_a_number_and_empties_what_is_censored_or_withheld():
    rows = list(csv.DictReader(io.StringIO(spreadsheet.table(by_axis()))))
    first = rows[0]
    assert (first["value"], first["lower"], first["upper"], first["state"]) == ("0.912", "0.901", "0.923", "ok")
    below = next(row for row in rows if row["subject"] == "streaming" and row["task_type"] == "multi-hop")
    assert below["lower"] == ""
    assert {row["held_equal"] for row in rows} >= {"compute", "KV bytes"}
    withheld = [row for row in csv.DictReader(io.StringIO(spreadsheet.table(failed()))) if row["state"] == "withheld"]
    assert len(withheld) >= len(failed().thresholds)
    assert all(row["value"] == row["lower"] == row["upper"] == "" for row in withheld)


def test_a_spreadsheet_runs_no_name():
    report = findings.Report.model_validate_json(normal().model_dump_json().replace('"top-k"', '"=cmd|calc"'))
    assert "'=cmd|calc" in spreadsheet.table(report)
    assert not re.search(r"(^|,)=cmd", spreadsheet.table(report))


def test_markdown_escapes_names_and_fits_a_screen():
    said = markdown.summary(hostile())
    assert "<script>" not in said
    lines = markdown.summary(by_axis()).splitlines()
    assert len(lines) < 40
    assert lines[0] == "## How much sparsity does tiny-model tolerate, by task type?"
    assert any("axis-dependent" in line for line in lines)


def test_a_notebook_sees_names_as_text():
    for shown in (hostile(), conclusions(), audits()[0]):
        html = shown._repr_html_()
        assert "<script>" not in html
        assert html.count("<table>") == html.count("</table>")


def test_figures_stand_alone(tmp_path, monkeypatch):
    from xml.etree import ElementTree

    monkeypatch.setenv("PATH", str(tmp_path))
    drawn = figures.write(normal(), tmp_path)
    assert [path.name for path in drawn] == ["F1-retrieval.svg", "F2-multi-hop.svg", "F3-aggregation.svg"]
    for path in drawn:
        text = path.read_text(encoding="utf-8")
        ElementTree.fromstring(text)
        colours = set(re.findall(r"var\((--[\w-]+)", text))
        assert all(f"{name}:" in text for name in colours)
    for _, text in figures.svgs(hostile()):
        ElementTree.fromstring(text)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.__name__)
def test_script_stays_under_a_kilobyte_and_can_be_left_out(example):
    html = page.render(example())
    code = re.findall(r"<script>(.*?)</script>", html, re.S)
    assert len(code) == 1
    assert len(code[0]) < 1024
    bare = page.render(example(), script=False)
    assert "script-src" not in bare
    assert "<button" not in bare


def test_a_comparison_of_answers_reaches_the_page():
    """From rows to the matrix: simulated answers, scattered draws, conclusions, page."""
    methods = ("top-k", "streaming")
    rows = validate(outcomes(n_items=6, levels=(0.0, 0.5, 0.9), sparsifiers=methods, tasks={"a": "single-qa"}))
    found = compare(rows, Fitted(fake_fit(rows)), *map(Arm, methods))
    html = page.render(normal().model_copy(update={"conclusions": [found]}), kind="comparison")
    assert html.count('class="conclusion ') == len(found.conclusions)
    for one in found.conclusions:
        for at in one.axes:
            assert at.verdict in html
            assert at.reason is None or str(escape(at.reason)) in html
