"""Not graded is not wrong: apart from both, counted, and flagged where it decides."""

import pandas as pd
import pytest

from tests.test_conditions import rows
from tolerance.analysis.design import caveats, data
from tolerance.data.cells import collapse
from tolerance.data.outcomes import validate
from tolerance.data.prepared import prepare
from tolerance.errors import DesignError, SchemaError
from tolerance.instant.answer import instant_answer


def with_gaps(n=20, reason="refused"):
    """The last ``n`` answers at .5 were not graded; all others there are right."""
    sparse = rows(100, 0.5)
    sparse.loc[sparse.index[-n:], "score"] = None
    sparse["ungraded"] = [None] * (100 - n) + [reason] * n
    return pd.concat([rows(100, 0), sparse], ignore_index=True)


def test_both_shares_stand_side_by_side_and_the_items_leave_both_sides():
    found = instant_answer(validate(with_gaps()))
    (one,) = found.contrasts
    assert (one.n_pairs, one.retention.value) == (80, 1.0)
    (counted,) = found.ungraded
    assert (counted.n_answers, counted.n_ungraded, counted.reasons) == (100, 20, {"refused": 20})
    assert (counted.accuracy_graded, counted.accuracy_all) == (1.0, 0.8)


def test_a_verdict_that_changes_with_the_denominator_is_flagged():
    table = validate(with_gaps())
    found = instant_answer(table)
    assert {(one.about, one.level) for one in found.denominator_matters} == {("difference", 0.5), ("retention", 0.5)}
    prepared = prepare(table)
    said = data(prepared)
    assert said.n_ungraded == 20
    assert {"answers not graded", "the denominator matters"} <= set(caveats(prepared, said, found))


def test_one_answer_that_was_not_graded_decides_nothing():
    assert instant_answer(validate(with_gaps(1))).denominator_matters == []


def test_cells_count_graded_answers():
    cells = collapse(validate(with_gaps())).frame
    assert cells["items"].tolist() == [80, 80]


def test_an_answer_that_could_not_be_read_is_unparsable():
    table = with_gaps().drop(columns="ungraded").assign(parse_ok=lambda t: t["score"].notna())
    assert set(validate(table)["ungraded"].dropna()) == {"unparsable"}


def test_an_empty_score_says_why():
    with pytest.raises(SchemaError, match=r"row 180: column score: empty, and nothing says why.*column ungraded"):
        validate(with_gaps().drop(columns="ungraded"))


def test_a_score_beside_a_reason_is_refused():
    with pytest.raises(SchemaError, match=r"score 1 beside ungraded = 'refused'"):
        validate(with_gaps().assign(score=1.0))


def test_nothing_graded_is_said():
    with pytest.raises(DesignError, match="no answer was graded"):
        instant_answer(validate(with_gaps().assign(score=None, ungraded="refused")))
