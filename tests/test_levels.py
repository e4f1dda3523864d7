"""Levels as they were set: token budgets, bits, layers. In their unit everywhere, in percent nowhere, never mixed."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tolerance
from tests.fake_fit import fake_fit
from tests.report_example import normal
from tolerance import DesignError, SchemaError, findings, instant_answer, read_run
from tolerance.axes.table import AXES
from tolerance.comparison.arms import parse, rows
from tolerance.data import levels
from tolerance.data.importers import Mapping, import_any, import_table, said_of_import
from tolerance.data.outcomes import level, validate
from tolerance.data.prepared import prepare
from tolerance.data.published import validate_aggregates
from tolerance.data.summary import summarise_run
from tolerance.diagnostics.posterior_predictive import named
from tolerance.estimands.contrasts import Contrasted
from tolerance.estimands.curve_state import curve_states
from tolerance.estimands.curves import type_curves
from tolerance.estimands.draws import with_thresholds
from tolerance.estimands.rankings import comparisons
from tolerance.estimands.source import Source
from tolerance.findings import Report, Scale
from tolerance.question import Question
from tolerance.reports.export import markdown
from tolerance.reports.page import render
from tolerance.reports.spreadsheet import table as spreadsheet
from tolerance.reports.svg.panels import panels
from tolerance.reports.words import phrases, sentences, thresholds

TOKENS = Scale(
    unit="tokens",
    noun="tokens",
    one="token",
    direction="kept",
    dense=None,
    reference=8192,
    levels=[1024, 2048, 4096, 8192],
)
BITS = Scale(unit="bits", noun="bits", one="bit", direction="kept", dense=16, reference=8, levels=[2, 3, 4, 8])
LAYERS = Scale(
    unit="layers",
    noun="layers removed",
    one="layer removed",
    direction="removed",
    dense=32,
    reference=1,
    levels=[1, 4, 8, 16],
)
HEADS = Scale(
    unit="heads",
    noun="heads removed",
    one="head removed",
    direction="removed",
    dense=None,
    reference=2,
    levels=[2, 8, 32],
)
SCALES = (TOKENS, BITS, LAYERS, HEADS)


def answers(method: str = "seer", *, at: tuple[float, ...] = (8192, 4096, 2048), **columns: object) -> pd.DataFrame:
    """Answers of two tasks, dense and one method, the more wrong the farther down the list of levels."""
    made = []
    for task in ("a", "b"):
        for place, value in enumerate((None, *at)):
            wrong = 2 + 7 * max(place - 1, 0)
            for item in range(40):
                row = {
                    "item_id": f"q{item}",
                    "task": task,
                    "task_type": "reasoning",
                    "model": "m",
                    "sparsifier": "dense" if value is None else method,
                    "score": float(item >= wrong),
                    "chance": 0.0,
                    "level": value,
                    "n_layers": 32,
                }
                made.append({**row, **columns})
    return pd.DataFrame(made)


def budgets() -> pd.DataFrame:
    """Token budgets alone, as logs have them."""
    return answers().rename(columns={"level": "kv_budget_tokens"})


def in_bits(method: str = "gptq") -> pd.DataFrame:
    """Bits, those of dense stated."""
    table = answers(method, at=(8, 4, 3), level_unit="bits")
    return table.assign(level=table["level"].fillna(16))


@given(st.sampled_from(SCALES), st.floats(0.01, 0.99))
def test_a_place_becomes_a_level_and_back(scale, place):
    value = scale.value(place)
    assert scale.place(value) == pytest.approx(place, abs=2e-3)
    further = scale.value(min(place + 0.005, 0.995))
    assert further <= value if scale.direction == "kept" else further >= value


@given(st.sampled_from(SCALES), st.data())
def test_levels_that_were_set_survive_the_rounding_of_a_saved_report(scale, data):
    value = data.draw(st.sampled_from(scale.levels))
    saved = float(f"{scale.place(value):.6g}")
    assert scale.value(saved) == value


@pytest.mark.parametrize(
    ("scale", "value", "said", "past"),
    [
        (TOKENS, 2048, "2,048 tokens", "fewer than 2,048 tokens"),
        (BITS, 4, "4 bits", "fewer than 4 bits"),
        (LAYERS, 1, "1 layer removed", "more than 1 layer removed"),
        (HEADS, 8, "8 heads removed", "more than 8 heads removed"),
    ],
)
def test_a_level_is_said_in_its_unit(scale, value, said, past):
    assert scale.level(scale.place(value)) == said
    assert scale.past(scale.place(value), end="last") == past
    assert scale.level(0.0) == "dense"


def test_a_budget_without_a_fraction_is_a_level_in_tokens_and_no_fraction_is_made():
    table = validate(budgets())
    sparse = table["sparsifier"] == "seer"
    assert set(table["level"][sparse]) == {8192, 4096, 2048}
    assert set(table["level_unit"][sparse]) == {"tokens"}
    assert table["sparsity_requested"][sparse].isna().all()
    assert (table["sparsity_requested"][~sparse] == 0).all()
    placed = levels.placed(table)
    assert (level(table)[~sparse] == 0).all()
    assert list(placed["sparsity_requested"][sparse].unique()) == pytest.approx([1 / 2, 2 / 3, 4 / 5])
    pd.testing.assert_frame_equal(levels.placed(placed), placed)


def test_a_share_is_taken_where_what_dense_has_is_recorded():
    bits = levels.placed(validate(in_bits()))
    assert list(bits["sparsity_requested"].unique()) == pytest.approx([0, 1 / 2, 3 / 4, 13 / 16])
    layers = levels.placed(validate(answers("drop", at=(4, 8, 16), level_unit="layers")))
    assert list(layers["sparsity_requested"].unique()) == pytest.approx([0, 1 / 8, 1 / 4, 1 / 2])
    unknown = levels.scales(validate(answers("drop", at=(4, 8), level_unit="layers", n_layers=None)))
    assert unknown["drop"].dense is None


def test_a_fraction_may_stand_in_the_general_columns():
    table = validate(answers("top-k", at=(0.5, 0.9), level_unit="fraction"))
    assert sorted(table["sparsity_requested"].unique()) == [0, 0.5, 0.9]
    assert table["level"].isna().all()
    assert levels.scales(table) == {}


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"level_unit": None}, "row 40: 'seer' has level without level_unit"),
        ({"level_unit": "token"}, "'token' does not say what counts. Did you mean tokens"),
        ({"level_unit": "adapters"}, "ends in -kept or -removed"),
        ({"level_unit": "bits", "sparsity_requested": 0.5}, "two levels"),
        ({"level_unit": "layers"}, "where dense has 32.*layers-kept"),
        ({"level_unit": "tokens", "level": 0.0}, "expected more than 0"),
        ({"level_unit": "tokens", "level": None}, "row 40: 'seer' has no level"),
    ],
)
def test_what_is_wrong_with_a_level_is_named_with_the_mend(columns, said):
    with pytest.raises(SchemaError, match=re.compile(said, re.DOTALL)):
        validate(answers(**columns))


def test_a_method_has_levels_of_one_unit():
    both = pd.concat([budgets(), answers("seer", at=(0.5,)).rename(columns={"level": "sparsity_requested"})])
    with pytest.raises(SchemaError, match=r"'seer' are set in tokens and in fraction.*Name the methods apart"):
        validate(both.drop_duplicates(["task", "item_id", "sparsifier", "kv_budget_tokens", "sparsity_requested"]))


def test_a_table_without_any_level_says_which_columns_may_give_one():
    with pytest.raises(
        SchemaError, match=r"sparsity_requested .or level with level_unit, or kv_budget_tokens. missing"
    ):
        validate(answers().drop(columns="level"))


def test_levels_that_count_what_is_kept_and_are_called_removed_are_refused(tmp_path):
    wrong = pd.concat(
        [answers("drop", at=(28, 20, 8), level_unit="layers", model=name).assign(model=name) for name in "abcd"]
    )
    wrong.to_csv(tmp_path / "log.csv", index=False)
    with pytest.raises(SchemaError, match="layers-kept"):
        import_any(tmp_path / "log.csv", None, tmp_path / "run")


def test_words_of_ones_own_are_taken_and_slips_of_ours_are_not(tmp_path):
    own = budgets().assign(task_type="summarisation", sparsity_kind="kv-quantisation", phase="verify")
    own.to_csv(tmp_path / "log.csv", index=False)
    folder, _ = import_any(tmp_path / "log.csv", None, tmp_path / "run")
    said = said_of_import(folder.manifest)
    assert "column task_type: taken as words of your own: summarisation." in said
    assert any("kv-quantisation" in one for one in said)
    assert not any("words of your own" in one for one in said_of_import(_imported(tmp_path, budgets())))


@pytest.mark.parametrize(
    ("column", "word", "meant"),
    [
        ("task_type", "retreival", "retrieval"),
        ("task_type", "Multi_Hop", "multi-hop"),
        ("sparsity_kind", "weights", "weight"),
        ("unit", "kv_entries", "kv-entries"),
        ("phase", "prefil", "prefill"),
    ],
)
def test_a_slip_of_a_known_word_is_named(column, word, meant):
    with pytest.raises(SchemaError, match=f"column {column}: '{word}': did you mean {meant}"):
        validate(budgets().assign(**{column: word}))


@pytest.mark.parametrize("word", ["weight-4:8", "weight-1:4", "expert", "layer", "vocabulary"])
def test_a_word_that_differs_in_its_numbers_is_another_word(word):
    assert set(validate(budgets().assign(sparsity_kind=word))["sparsity_kind"]) == {word}


def _imported(folder: Path, table: pd.DataFrame) -> object:
    table.to_csv(folder / "other.csv", index=False)
    return import_any(folder / "other.csv", None, folder / "other")[0].manifest


def test_a_run_of_budgets_is_kept_as_it_was_set_and_shown_in_tokens(tmp_path):
    _imported(tmp_path, budgets())
    stored = read_run(tmp_path / "other")
    assert stored["sparsity_requested"][stored["sparsifier"] == "seer"].isna().all()
    summary = summarise_run(tmp_path / "other")
    assert set(summary.to_text()["level"]) == {"dense", "8,192 tokens", "4,096 tokens", "2,048 tokens"}
    cells = summary.to_dict()["cells"]
    assert {cell["level"] for cell in cells if cell["sparsifier"] == "seer"} == {8192, 4096, 2048}
    assert {cell["sparsity"] for cell in cells if cell["sparsifier"] == "seer"} == {None}


def test_bits_come_in_through_a_mapping_alone(tmp_path):
    logs = in_bits().drop(columns="level_unit").rename(columns={"level": "w_bits"})
    logs.to_csv(tmp_path / "log.csv", index=False)
    mapping = Mapping(columns={"level": "w_bits"}, constants={"level_unit": "bits"})
    table = import_table(tmp_path / "log.csv", mapping)
    assert levels.scales(table)["gptq"].dense == 16


def test_published_means_of_budgets_are_taken_by_their_budgets():
    means = budgets().groupby(["task", "sparsifier", "kv_budget_tokens"], dropna=False)["score"].mean().reset_index()
    means = means.assign(task_type="reasoning", model="m", n_items=40)
    table = validate_aggregates(means)
    assert set(table["level_unit"].dropna()) == {"tokens"}
    twice = pd.concat([means, means[means["kv_budget_tokens"] == 4096]], ignore_index=True)
    with pytest.raises(SchemaError, match="a second mean of 'a' by 'm' under seer 4096 tokens"):
        validate_aggregates(twice)


def test_the_instant_answer_is_in_the_unit_that_was_set():
    found = instant_answer(validate(budgets()))
    (tolerated,) = found.tolerated
    assert tolerated.level is not None
    assert phrases.median(tolerated.level).endswith(" tokens")
    assert "%" not in phrases.amount(tolerated.level).replace("90% credible", "")
    table = found.to_frame()
    assert 2048 <= table["level"][0] <= 8192
    assert table["level_lower"][0] <= table["level"][0] <= table["level_upper"][0]
    assert list(table["level_unit"]) == ["tokens"]
    contrasts = found.to_frame("contrasts")
    assert sorted(contrasts["level"].unique()) == [2048, 4096, 8192]
    assert contrasts["sparsity"].isna().all()
    assert found.to_frame("trends")["slope"].isna().all()


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ((4096, 3000, 2048), "3,000 tokens (90% credible interval 2,048 to 4,096)"),
        ((None, 3000, 2048), "3,000 tokens (90% credible interval 2,048 to more than 8,192)"),
        ((4096, 3000, None), "3,000 tokens (90% credible interval fewer than 1,024 to 4,096)"),
        ((2048, None, None), "fewer than 1,024 tokens (posterior probability 0.80)"),
    ],
)
def test_a_tolerated_budget_is_said_with_the_smaller_number_first(ends, said):
    lower, median, upper = (None if one is None else TOKENS.place(one) for one in ends)
    level = findings.Level(
        median=median,
        lower=lower,
        upper=upper,
        prob=0.9,
        first=TOKENS.place(8192),
        last=TOKENS.place(1024),
        prob_below=0.0,
        prob_beyond=0.8 if median is None else 0.1,
        scale=TOKENS,
    )
    assert phrases.amount(level) == said
    if median is None:
        assert phrases.ends(level) == "2,048 or fewer"


def report_in(**by_method: Scale) -> Report:
    """The example report, its methods set in other units."""
    return findings.stated(normal(), {method.replace("_", "-"): scale for method, scale in by_method.items()})


@pytest.mark.parametrize("scale", SCALES, ids=lambda scale: scale.unit)
def test_no_page_table_or_sentence_says_a_place_in_percent(scale):
    report = report_in(top_k=scale, streaming=scale)
    written = "\n".join([render(report, script=False), markdown.summary(report), spreadsheet(report)])
    texts = [*sentences.headlines(report), *(thresholds.sentence(one) for one in report.thresholds)]
    body = re.sub(r"<svg.*?</svg>|<script.*?</script>", " ", written, flags=re.DOTALL)
    # of the places in the example no other number is 67% or 80%
    assert {0.67, 0.8} <= {point.sparsity for curve in report.curves for point in curve.observed}
    for text in (body, *texts):
        assert "67%" not in text
        assert "80%" not in text
    assert scale.unit in body
    for threshold in report.thresholds:
        assert threshold.level is not None
        assert "%" not in phrases.median(threshold.level) + phrases.ends(threshold.level)
        row = next(threshold.rows())
        assert row["level_unit"] == scale.unit
        assert row["level"] is None or row["level_lower"] is None or row["level_lower"] <= row["level"]
    assert "compression" in sentences.title(report)


def test_methods_of_two_units_have_panels_of_their_own():
    report = report_in(top_k=TOKENS)
    drawn = panels(report)
    assert all(len({series.method for series in panel.series}) == 1 for panel in drawn)
    by_title = {panel.title: [tick.label for tick in panel.x_ticks] for panel in drawn}
    tokens, fractions = by_title["retrieval, by tokens kept"], by_title["retrieval, by sparsity"]
    assert not any("%" in label for label in tokens)
    assert all("%" in label for label in fractions)


def test_a_saved_report_keeps_its_units_and_one_of_fractions_has_no_such_field():
    report = report_in(top_k=TOKENS)
    again = Report.model_validate_json(report.model_dump_json())
    assert sentences.headlines(again) == sentences.headlines(report)
    assert '"scale"' in report.model_dump_json()
    assert '"scale"' not in normal().model_dump_json()


def test_methods_of_different_units_are_neither_contrasted_nor_ordered():
    tables = in_bits(), in_bits("awq"), budgets()
    sparse = [table[table["sparsifier"] != "dense"] for table in tables[1:]]
    both = validate(pd.concat([tables[0], *sparse], ignore_index=True))
    prepared = prepare(both)
    fitted = fake_fit(prepared.cells)
    states = curve_states(fitted, type_curves(fitted), passed=True)
    contrasted = Contrasted(Source(fitted), states, Question())
    found = {frozenset((one.first, one.second)): one for one in contrasted.contrasts() if one.of == "methods"}
    ordered = {frozenset((one.first, one.second)): one for one in comparisons(contrasted) if one.of == "methods"}
    for pair, contrast in found.items():
        alike = pair == {"awq", "gptq"}
        assert (contrast.status == "ok") == (ordered[pair].status == "ok") == alike
        assert alike or contrast.reason == ordered[pair].reason == "levels of different units"
    assert len(found) == 3
    assert not [one for one in instant_answer(prepared).contrasts if {one.first, one.second} == {"seer", "gptq"}]


def test_no_axis_takes_a_place_for_a_share():
    table = levels.placed(validate(budgets().assign(sparsity_kind="attention", phase="both", prompt_tokens=30_000)))
    assert AXES["sparsity"].account(table).values is None
    assert AXES["compute"].account(table).values is None
    kept = AXES["kv-tokens"].account(table).values
    assert kept is not None
    assert set(kept) == {30_000, 8192, 4096, 2048}


def test_an_arm_is_named_by_the_level_that_was_set():
    table = levels.placed(validate(budgets()))
    assert set(rows(table, parse("seer@4096"))["level"]) == {4096}
    with pytest.raises(DesignError, match="8192 tokens, 4096 tokens, 2048 tokens"):
        rows(table, parse("seer@0.5"))
    fractions = validate(answers("top-k", at=(0.5,), level_unit="fraction"))
    with pytest.raises(DesignError, match="no fraction in"):
        rows(fractions, parse("top-k@2048"))


def test_requested_and_realised_levels_are_both_named_where_they_differ():
    table = answers("sparsegpt", at=(0.5, 0.8), level_unit="fraction")
    half = table.assign(sparsity_realised=np.where(table["sparsifier"] == "dense", 0.0, table["level"].fillna(0) / 2))
    from tolerance.reports.sections import instant as instantly

    (row,) = instantly.curves(instant_answer(validate(half)))
    assert [at.level for at in row.kept] == ["50%, realised 25%", "80%, realised 40%"]
    assert row.observed[0].endswith(" realised")


def test_draws_and_checks_are_in_the_unit_that_was_set():
    fitted = fake_fit(prepare(validate(budgets())).cells, loc=0.2)
    found = with_thresholds(fitted)["thresholds"]
    inside = found["level"].to_numpy().ravel()
    inside = inside[np.isfinite(inside)]
    assert float(found["last"].min()) == 2048
    assert len(inside)
    assert inside.min() >= 2048
    assert "tokens kept" in found.attrs["unit"]
    groups = [{"task": "t", "sparsifier": "seer", "sparsity_requested": place} for place in fitted.cells.levels]
    said = [named(group, fitted.cells.scales) for group in groups]
    assert said == [f"t under seer at {level}" for level in ("8,192 tokens", "4,096 tokens", "2,048 tokens")]


def test_without_dense_the_lowest_level_is_said_as_it_was_set():
    sparse = budgets()
    with pytest.raises(DesignError, match="the lowest level is 8,192 tokens"):
        tolerance.analyse(validate(sparse[sparse["sparsifier"] != "dense"]))


def test_show_names_both_levels_where_realised_ones_differ(tmp_path):
    table = answers("sparsegpt", at=(0.5, 0.8), level_unit="fraction")
    _imported(tmp_path, table.assign(sparsity_realised=table["level"].fillna(0.0) / 2))
    shown = summarise_run(tmp_path / "other").to_text()
    assert set(zip(shown["asked"], shown["realised"], strict=True)) == {
        ("0.000", "0.000"),
        ("0.500", "0.250"),
        ("0.800", "0.400"),
    }
