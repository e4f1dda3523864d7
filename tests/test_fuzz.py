"""A short run of the fuzzers, and every planted contradiction; `python -m tests.fuzz` is the long run."""

import json
import re

import pandas as pd
import pytest

from tests.fuzz.__main__ import run
from tests.fuzz.entries import ENTRIES
from tests.fuzz.planted import PLANTED
from tolerance.analysis.saved import REPORT
from tolerance.errors import ToleranceError


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ENTRIES)
def test_no_mutated_input_ends_in_a_traceback_or_changes_unseen(name):
    counts = run(name, 60, seed=20_261_128, keep=None)
    assert counts["accepted"] + counts["refused"] == 60, counts


@pytest.mark.parametrize(("entry", "what", "given", "said"), PLANTED, ids=[f"{one[0]}: {one[1]}" for one in PLANTED])
def test_every_planted_contradiction_is_refused_in_words(tmp_path, entry, what, given, said):
    path = tmp_path / {"report": REPORT, "questions": "questions.jsonl"}.get(entry, "given.csv")
    if isinstance(given, pd.DataFrame):
        given.to_csv(path, index=False)
    else:
        path = path if entry in ("report", "questions") else tmp_path / "given.yaml"
        path.write_text(json.dumps(given))
    with pytest.raises(ToleranceError) as error:
        ENTRIES[entry].read(tmp_path if entry == "report" else path)
    assert re.search(said, str(error.value)), f"{what}: {error.value}"
