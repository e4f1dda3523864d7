"""A run folder knows what belongs to it: its plan, its own shards, its own bytes."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from tests.simulated import outcomes
from tolerance import StoreError, analyse, instant_answer
from tolerance.cli.guard import last_words
from tolerance.data.importers import import_run, import_table
from tolerance.data.manifest import Manifest
from tolerance.data.planned import LACKS
from tolerance.data.published import validate_aggregates
from tolerance.data.run_folder import PUBLISHED, RunFolder, read_run

NOW = "2026-01-01T00:00:00+00:00"


def condition(sparsifier, level, blocks):
    return {
        "model": "simulated",
        "task": "look-up",
        "context_length": 256,
        "sparsifier": sparsifier,
        "level": level,
        "blocks": blocks,
    }


@pytest.fixture
def collected(tmp_path):
    """A run of one task, dense and a method at two levels, two blocks of 10 answers a condition."""
    rows = outcomes(n_items=20, levels=(0.5, 0.95), sparsifiers=("top-k",), tasks={"look-up": "single-qa"})
    planned, shards = [], {}
    for (method, level), part in rows.groupby(["sparsifier", "sparsity_requested"]):
        names = [f"{method}-{level:g}-{i}" for i in range(2)]
        planned.append(condition(method, f"{level:g}", dict.fromkeys(names, 10)))
        shards |= dict(zip(names, (part.iloc[:10], part.iloc[10:]), strict=True))
    folder = RunFolder.create(
        tmp_path / "run", Manifest("collected", {"items": 20}, created=NOW, notes={"planned": planned})
    )
    with folder.writing():
        for name, part in shards.items():
            folder.write(name, part.assign(run_id=folder.manifest.run_id).to_dict("records"))
    return folder


def test_all_of_a_plan_is_all_of_it(collected):
    assert collected.coverage().complete
    assert LACKS not in collected.read().attrs


def test_a_part_of_a_plan_says_how_much_and_what_is_missing(collected):
    for shard in collected.shards():
        if "0.95" in shard.name or shard.stem == "top-k-0.5-1":
            shard.unlink()
    assert str(collected.coverage()) == (
        "50% of the plan is there (30 of 60 answers); missing: level 0.95, 10 of 20 answers to look-up under top-k at "
        "0.5."
    )
    table = read_run(collected.path)
    assert table.attrs[LACKS]["planned"] == 60
    # what is computed from it does not forget
    assert table[table["task"] == "look-up"].assign(seed=1).attrs[LACKS]["planned"] == 60
    assert instant_answer(table).n_answers == 30


def test_the_report_of_a_part_carries_it(collected, monkeypatch):
    from tolerance.analysis import analyse as module

    seen = {}
    monkeypatch.setattr(module, "refitted", lambda *given: seen.setdefault("given", given) and None)
    monkeypatch.setattr(module, "_report", lambda *given: seen.setdefault("report", given[-1]) and pytest.skip("seen"))
    for shard in collected.shards():
        if "0.95" in shard.name:
            shard.unlink()
    with pytest.raises(pytest.skip.Exception):
        analyse(read_run(collected.path))
    assert seen["report"] == {"n_planned": 60, "missing": ["level 0.95"]}


def test_a_shard_that_no_plan_names_is_refused_with_its_mend(collected):
    first = collected.shards()[0]
    shutil.copy(first, first.with_name("other.parquet"))
    with pytest.raises(StoreError, match=r"shard other\.parquet is in no plan of this run .*Move it out of outcomes/"):
        collected.read()


def test_a_shard_of_another_run_is_refused_even_under_a_planned_name(collected):
    name = collected.shards()[0].stem
    rows = collected.read().iloc[:10].assign(run_id="0123456789ab").to_dict("records")
    with collected.writing():
        collected.write_frame(name, pd.DataFrame(rows))
    with pytest.raises(StoreError, match=rf"shard {name}\.parquet holds answers of run 0123456789ab, and this is run"):
        collected.read()


def test_an_imported_run_holds_what_was_imported_alone(collected, tmp_path):
    log = tmp_path / "log.csv"
    outcomes(n_items=5, levels=(0.5,)).to_csv(log, index=False)
    folder, _ = import_run(log, None, tmp_path / "imported")
    assert len(folder.read()) == len(import_table(log))
    shutil.copy(collected.shards()[0], folder.path / "outcomes" / "more.parquet")
    with pytest.raises(StoreError, match=r"shard more\.parquet is in no plan"):
        folder.read()


def means():
    rows = [
        {"task": task, "task_type": "other", "model": "m", "sparsifier": "top-k" if level else "dense"}
        | {"sparsity_requested": level, "score": 0.5 + 0.01 * i, "n_items": 100, "chance": 0.25}
        for i, (task, level) in enumerate((task, level) for task in "ab" for level in (0.0, 0.5, 0.9))
    ]
    return validate_aggregates(pd.DataFrame(rows))


def test_no_bit_of_published_means_flips_unseen(tmp_path):
    folder = RunFolder.create(tmp_path / "run", Manifest("published", {"source": "x"}, created=NOW))
    with folder.writing():
        folder.write_published(means())
    pd.testing.assert_frame_equal(folder.read(), means())
    path = folder.path / PUBLISHED
    whole, rng = path.read_bytes(), np.random.default_rng(7)
    for at in rng.integers(0, 8 * len(whole), 500):
        damaged = bytearray(whole)
        damaged[at // 8] ^= 1 << (at % 8)
        path.write_bytes(damaged)
        with pytest.raises(StoreError, match="cannot be read as it was written"):
            folder.read()


def test_means_of_a_version_that_did_not_seal_are_read(tmp_path):
    folder = RunFolder.create(tmp_path / "run", Manifest("published", {"source": "x"}, created=NOW))
    means().to_parquet(folder.path / PUBLISHED)
    pd.testing.assert_frame_equal(folder.read(), means())


def test_answers_and_means_in_one_folder_are_refused(collected):
    means().to_parquet(collected.path / PUBLISHED)
    with pytest.raises(StoreError, match="answers and means are imported into a folder each"):
        collected.read()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"plan": {"items": 21}}, "its plan is not the one that run"),
        ({"plan": []}, "plan: Input should be"),
        ({"origin": "guessed"}, "origin: Input should be"),
        ({"machine": {"a": 1}}, r"machine\.a: Input should be a valid string"),
        ({"created": 2026}, "created: Input should be a valid string"),
        ({"notes": {"planned": [{"task": "a"}]}}, "planned blocks is damaged"),
        ({"notes": {"planned": 3}}, "planned blocks is damaged"),
        ({"surprise": 1}, "surprise: no field of a manifest"),
    ],
)
def test_every_field_of_a_manifest_has_its_type(collected, change, said):
    path = collected.path / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(StoreError, match=said):
        RunFolder.open(collected.path)


def test_a_manifest_of_a_version_without_a_list_of_blocks_is_read(collected):
    path = collected.path / "manifest.json"
    fields = json.loads(path.read_text())
    del fields["notes"]["planned"]
    path.write_text(json.dumps(fields))
    assert len(read_run(collected.path)) == 60
    assert RunFolder.open(collected.path).coverage() is None


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "not enough memory"),
        (OSError(28, "No space left on device", "run/x"), r"run/x: No space left on device\. Make room"),
        (KeyError("n"), r"KeyError: 'n'\. This is a fault of tolerance"),
    ],
)
def test_what_nobody_foresaw_becomes_one_line(error, said):
    import re

    assert re.match(said, last_words(error))
    assert "\n" not in last_words(error)
