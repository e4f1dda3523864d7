from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.report_example import (
    AT_FLOOR,
    EXAMPLES,
    FAILED,
    at_floor,
    axis,
    budgets,
    censored,
    check,
    compared,
    contrast,
    failed,
    level,
    many_methods,
    normal,
    ordering,
    threshold,
    without_dense,
)
from tolerance.axes.table import names
from tolerance.findings import Caveat, Reason
from tolerance.reports.words import (
    absent,
    caveats,
    checks,
    comparisons,
    contrasts,
    held,
    numbers,
    phrases,
    rankings,
    sentences,
    thresholds,
)
from tolerance.reports.words import budgets as kv

shares = st.floats(0, 1)


def test_headlines_lead_with_the_most_and_least_tolerant_task_type():
    assert sentences.headlines(normal()) == [
        "Under top-k, retrieval tolerates the most sparsity with at least 95% of dense accuracy kept: 91.2% (90% "
        "credible interval 90.1% to 92.3%). The least: multi-hop, 66% (90% credible interval 60% to 71%). Posterior "
        "probability of this order: > 0.99.",
        "Under streaming, aggregation tolerates the most sparsity with at least 95% of dense accuracy kept: 83% (90% "
        "credible interval 80% to 85%). The least: multi-hop, 53% (90% credible interval less than 50% to 60%). "
        "Posterior probability of this order: > 0.99.",
        "Between methods, with posterior probabilities: top-k tolerates more on retrieval (> 0.99) and multi-hop "
        "(0.98); undecided on aggregation (0.38 for top-k, 0.62 for streaming).",
        "Held constant: parameters, active parameters, context length, generated tokens; varying: sparsity fraction, "
        "compute; not recorded: KV bytes.",
    ]


def test_headlines_of_censored_thresholds_give_a_bound_and_its_probability():
    first, _, between, _ = sentences.headlines(censored())
    assert "more than 95% (posterior probability 0.83). The least: multi-hop, less than 50% (posterior" in first
    assert "outside the measured range on multi-hop (0.96)" in between


def test_headlines_of_a_failed_fit_say_why_conclusions_are_withheld():
    assert sentences.headlines(failed()) == [
        "Conclusions are withheld: the fit failed 2 of its 5 checks.",
        "R-hat, largest: 1.087 (limit: at most 1.01), failed: the chains disagree: the draws are not from one "
        "posterior.",
        "Divergent transitions, share: 0.0312 (limit: at most 0.001), failed: part of the posterior may be missing.",
        "What was observed stands: 6,336 answers to 576 items, each level with its 90% Wilson interval.",
    ]


def test_headlines_without_a_dense_baseline_say_what_can_and_cannot_be_said():
    cannot, can, *_ = sentences.headlines(without_dense())
    assert cannot == (
        "No dense baseline was measured, so the share of dense accuracy that is kept is unknown: no threshold is given "
        "and nothing is ordered by one."
    )
    assert can.startswith("Under top-k, observed accuracy at the highest measured sparsity is 0.")


def test_headlines_name_task_types_without_a_threshold():
    first, _ = sentences.headlines(at_floor())
    assert first.endswith("No threshold for multi-hop: its dense accuracy is at the guessing floor.")


def test_an_undecided_order_of_task_types_is_said_with_its_odds():
    report = normal()
    undecided = compared("task types", "top-k", "retrieval", "multi-hop", 0.7, 0.25, "undecided")
    first = sentences.headlines(report.model_copy(update={"comparisons": [undecided]}))[0]
    assert first.endswith(
        "Which of the two tolerates more is undecided: posterior probability 0.70 for retrieval, 0.25 for multi-hop, "
        "0.05 that both lie outside the measured range on the same side."
    )


def test_a_task_type_like_the_extreme_one_is_named_beside_it():
    report = normal()
    near = compared("task types", "top-k", "retrieval", "aggregation", 0.8, 0.2, "undecided")
    others = [c for c in report.comparisons if (c.within, c.second) != ("top-k", "aggregation")]
    first = sentences.headlines(report.model_copy(update={"comparisons": [*others, near, report.comparisons[2]]}))[0]
    assert "91.2% (90% credible interval 90.1% to 92.3%), not told apart from aggregation. The least: " in first


def test_methods_that_remove_different_things_are_said_to():
    assert any("The fractions are of different things" in line for line in sentences.headlines(many_methods()))


@pytest.mark.parametrize("example", EXAMPLES)
def test_headlines_are_few_and_never_speak_of_significance(example):
    lines = sentences.headlines(example())
    assert 2 <= len(lines) <= 5
    assert "significan" not in " ".join(lines)


def test_title_asks_the_question():
    assert sentences.title(normal()) == "How much sparsity does tiny-model tolerate, by task type?"
    assert sentences.title(many_methods()) == "How much sparsity does tiny-model tolerate on retrieval?"


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (level(0.82, 0.76, 0.86), "82% (90% credible interval 76% to 86%)"),
        (level(0.93, 0.91, None, beyond=0.1), "93.0% (90% credible interval 91.0% to more than 95.0%)"),
        (level(0.93, 0.85, None, beyond=0.1), "93% (90% credible interval 85% to more than 95%)"),
        (level(0.55, None, 0.6, below=0.2), "55% (90% credible interval less than 50% to 60%)"),
        (level(None, None, None, beyond=0.999), "more than 95% (posterior probability > 0.99)"),
        (level(None, None, 0.6, below=0.9), "less than 50% (posterior probability 0.90)"),
    ],
)
def test_amounts(found, sentence):
    assert phrases.amount(found) == sentence


@pytest.mark.parametrize(
    ("found", "ends"),
    [
        (level(None, 0.91, None, beyond=0.8), "91.0% or more"),
        (level(None, 0.88, None, beyond=0.8), "88% or more"),
        (level(None, None, 0.57, below=0.8), "57% or less"),
        (level(None, None, None, beyond=0.99), "more than 95%"),
        (level(None, None, None, below=0.99), "less than 50%"),
        (level(None, None, None, below=0.4, beyond=0.55), "not bounded by the measured range"),
    ],
)
def test_interval_ends_outside_the_range_are_bounds(found, ends):
    assert phrases.ends(found) == ends


def test_a_bound_is_not_rounded_away_from_what_was_measured():
    found = level(0.88, 0.85, None, beyond=0.1).model_copy(update={"last": 0.9461})
    assert phrases.amount(found) == "88.0% (90% credible interval 85.0% to more than 94.6%)"
    beyond = level(None, None, None, beyond=0.999).model_copy(update={"last": 0.9461})
    assert phrases.ends(beyond) == "more than 94.6%"


def test_threshold_sentences():
    found = threshold("retrieval", "top-k", level(0.82, 0.76, 0.86))
    assert thresholds.sentence(found) == (
        "With at least 95% of dense accuracy kept under top-k, retrieval tolerates 82% (90% credible interval 76% to "
        "86%) sparsity."
    )
    floor = threshold("multi-hop", "top-k", None, status="unanswerable", reason=AT_FLOOR)
    assert thresholds.sentence(floor) == (
        "Under top-k, the threshold of multi-hop is unanswerable: its dense accuracy is at the guessing floor."
    )


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (
            compared("task types", "top-k", "retrieval", "multi-hop", 0.03, 0.97, "second"),
            "Under top-k, multi-hop tolerates more sparsity than retrieval (posterior probability 0.97).",
        ),
        (
            compared("methods", "retrieval", "top-k", "streaming", 0.6, 0.4, "undecided"),
            "On retrieval, it is undecided whether top-k or streaming tolerates more: posterior probability 0.60 for "
            "top-k, 0.40 for streaming.",
        ),
        (
            compared("methods", "retrieval", "top-k", "streaming", 0.01, 0.02, "out of range"),
            "On retrieval, top-k and streaming cannot be ordered: both thresholds lie outside the measured range on "
            "the same side (posterior probability 0.97).",
        ),
        (
            failed().comparisons[0],
            "Under top-k, the order of retrieval and multi-hop is withheld: the fit failed its checks.",
        ),
        (
            at_floor().comparisons[0],
            "Under top-k, the order of retrieval and multi-hop is unanswerable: the dense accuracy of one of them is "
            "at the guessing floor.",
        ),
    ],
)
def test_comparison_sentences(found, sentence):
    assert comparisons.sentence(found) == sentence


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (
            contrast("methods", "retrieval", "top-k", "streaming", 0.21, "better"),
            "On retrieval, top-k keeps more than streaming up to 95% sparsity (posterior probability 0.98).",
        ),
        (
            contrast("task types", "top-k", "multi-hop", "retrieval", -0.14, "worse"),
            "Under top-k, retrieval keeps more than multi-hop up to 95% sparsity (posterior probability 0.98).",
        ),
        (
            contrast("methods", "aggregation", "top-k", "streaming", 0.0, "equivalent"),
            "On aggregation, top-k and streaming keep the same in practice up to 95% sparsity (posterior probability "
            "0.96).",
        ),
        (
            contrast("models", "retrieval under top-k", "a", "b", 0.0, "undecided"),
            "On retrieval under top-k, it is undecided whether a or b keeps more up to 95% sparsity: posterior "
            "probability 0.61 for a.",
        ),
        (
            contrast("methods", "retrieval", "a", "b", None, "", status="withheld", reason=FAILED),
            "On retrieval, the difference of a and b is withheld: the fit failed its checks.",
        ),
    ],
)
def test_contrast_sentences(found, sentence):
    assert contrasts.sentence(found) == sentence


def test_orders_put_what_is_outside_on_one_side_together():
    found = ordering()
    assert rankings.order(found.orders[0]) == "retrieval > aggregation > multi-hop"
    assert rankings.order(found.orders[1]) == (
        "retrieval = aggregation (beyond the last level) > multi-hop (below the first level)"
    )
    assert rankings.ties(found) == "Told apart between 50% and 95%. Tied for the most tolerant, outside: 0.07."


def test_budgets_outside_what_was_measured_are_bounds():
    inside, fewer, more = budgets()
    assert kv.tokens(inside) == ("61", "55 to 70")
    assert kv.tokens(fewer) == ("fewer than 26", "40 or fewer")
    assert kv.tokens(more) == ("more than 256", "more than 256")
    assert kv.enough(more) == "more than 256"


def test_a_margin_is_said_in_points():
    found = threshold("retrieval", "top-k", level(0.82, 0.76, 0.86)).model_copy(update={"margin": 0.02})
    assert thresholds.sentence(found).startswith("With accuracy at most 2 points below dense under top-k, retrieval")
    report = normal().model_copy(update={"margin": 0.02})
    assert "with accuracy at most 2 points below dense: 91.2%" in sentences.headlines(report)[0]


def test_differences_are_signed_and_never_minus_nothing():
    assert numbers.differences([0.21, 0.19, 0.23]) == ["+0.21", "+0.19", "+0.23"]
    assert numbers.differences([-0.0001, -0.013, 0.017]) == ["0.000", "-0.013", "+0.017"]


def test_axes_say_what_follows():
    compute = axis("compute", "varies", "FLOPs per item", 1.48e9, 1.73e9)
    assert held.axis(compute) == "Not compared at equal compute."
    assert held.axis_range(compute) == "1.48 billion to 1.73 billion"
    assert held.axis(axis("context length", "held", "tokens", 4096, 4096)) == "Compared at equal context length."
    assert held.axis(axis("KV bytes", "not recorded", "bytes", None, None)) == "Not known for KV bytes."


@pytest.mark.parametrize("name", names())
def test_every_axis_has_a_sentence(name):
    assert held.axis(axis(name, "varies", "unit", 0, 1)).endswith(".")


def test_checks_are_stated_either_way():
    assert checks.sentence(check("bulk ESS, smallest", 1873.2, 400, "at least", "too few")) == (
        "Bulk ESS, smallest: 1,873 (limit: at least 400), passed."
    )
    assert checks.sentence(check("bulk ESS, smallest", 12.4, 400, "at least", "too few")) == (
        "Bulk ESS, smallest: 12.4 (limit: at least 400), failed: too few."
    )


def test_every_caveat_and_reason_has_its_words():
    assert set(caveats.CAVEATS) == set(get_args(Caveat))
    assert set(absent.REASONS) == set(get_args(Reason))


@given(st.lists(shares, min_size=1, max_size=3))
def test_percents_keep_order_share_decimals_and_never_round_away(values):
    said = numbers.percents(sorted(values))
    read = [float(text[:-1]) for text in said]
    assert read == sorted(read)
    assert len({len(text.partition(".")[2]) for text in said}) == 1
    assert all(0 < r < 100 for r, v in zip(read, sorted(values), strict=True) if 1e-8 < v < 1 - 1e-8)


@given(shares)
def test_a_probability_is_never_certain(value):
    assert numbers.probability(value) not in ("0.00", "1.00")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0%"), (0.5, "50%"), (0.985, "98.5%"), (0.94967, "95%"), (0.9995, "99.95%"), (1.0, "100%")],
)
def test_levels_have_no_needless_decimals(value, text):
    assert numbers.level(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1"), (85.33, "85.3"), (4096, "4,096"), (8.19e9, "8.19 billion"), (3_214_080, "3.21 million")],
)
def test_quantities_have_three_digits(value, text):
    assert numbers.quantity(value) == text


def test_accuracies_that_differ_look_different():
    assert numbers.accuracies([0.83, 0.8, 0.86]) == ["0.83", "0.80", "0.86"]
    assert numbers.accuracies([0.9975, 0.9951, 0.9996]) == ["0.998", "0.995", "1.000"]
    assert numbers.accuracies([1.0, 0.96, 1.0]) == ["1.00", "0.96", "1.00"]


def test_a_statistic_just_past_its_limit_does_not_look_equal_to_it():
    assert numbers.against(1.01004, 1.01) == ("1.01004", "1.01")
