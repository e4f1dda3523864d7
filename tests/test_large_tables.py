"""Tables that are read in batches give what those read at once give, to the words of their faults."""

import json

import numpy as np
import pandas as pd
import pytest

from tolerance import SchemaError, StoreError, read_run
from tolerance.analysis import design
from tolerance.analysis.analyse import _require_answerable
from tolerance.data.importers import Mapping, import_run
from tolerance.data.outcomes import validate
from tolerance.data.prepared import Prepared, prepare, read_prepared
from tolerance.data.run_folder import locked
from tolerance.data.streaming import files, imports
from tolerance.data.summary import summarise_run
from tolerance.instant import contrasts, many_items
from tolerance.instant.answer import instant_answer
from tolerance.stats import gee

LEVELS = (0.5, 0.75, 0.875)


def rows(n_items: int = 40, seed: int = 0) -> pd.DataFrame:
    """Answers of two models, contexts and methods to three tasks, some ungraded, in no order."""
    rng = np.random.default_rng(seed)
    made = [
        {
            "item_id": f"{task}-{i}",
            "task": task,
            "task_type": kind,
            "model": model,
            "params": size,
            "sparsifier": method,
            "sparsity_kind": "kv-cache" if level else "none",
            "unit": "kv-entries" if level else "none",
            "sparsity_requested": level,
            "sparsity_realised": level and level + rng.integers(0, 4) / 128,
            "context_length": context,
            "prompt_tokens": context - int(rng.integers(0, 9)),
            "score": float(rng.random() < 0.9 - 0.5 * level * (1.2 if method == "b" else 1.0)),
            "chance": (0.25, 0.5)[i % 2] if task == "t2" else 0.0,
            "parse_ok": bool(rng.random() < 0.95),
            "seconds": float(rng.integers(1, 100)) / 64,
        }
        for task, kind in (("t1", "retrieval"), ("t2", "retrieval"), ("t3", "multi-hop"))
        for i in range(n_items)
        for model, size in (("m1", 10**9), ("m2", 2 * 10**9))
        for context in (1024, 4096)
        for method, level in (("dense", 0.0), *((m, at) for m in ("a", "b") for at in LEVELS))
    ]
    table = pd.DataFrame(made).sample(frac=1.0, random_state=seed, ignore_index=True)
    table["ungraded"] = pd.Series(pd.NA, index=table.index, dtype="str")
    lost = table.index[(table["item_id"].str.endswith("-3")) & (table["sparsifier"] == "a") & (table["score"] == 0)]
    return table.assign(
        score=table["score"].mask(table.index.isin(lost)),
        ungraded=table["ungraded"].where(~table.index.isin(lost), "refused"),
    )


@pytest.fixture
def in_batches(monkeypatch):
    """Make every table a large one, of several batches."""

    def switch(rows: int = 500) -> None:
        monkeypatch.setattr(files, "LARGE", -1)
        monkeypatch.setattr(files, "LARGE_TEXT", -1)
        monkeypatch.setattr(imports, "ROWS", rows)

    return switch


@pytest.fixture
def both(tmp_path, in_batches):
    """The run folders of one table, read at once and in batches."""

    def imported(table: pd.DataFrame, suffix: str = "parquet", mapping: Mapping | None = None):
        path = tmp_path / f"log.{suffix}"
        table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path)
        small, _ = import_run(path, mapping, tmp_path / "small")
        in_batches()
        large, _ = import_run(path, mapping, tmp_path / "large")
        return small.path, large.path

    return imported


def notes(path):
    found = json.loads((path / "manifest.json").read_text())["notes"]
    return {name: value for name, value in found.items() if name != "shards"}


def close(one, other, rel=1e-9):
    """Equal, but for the last bits of sums that were taken in another order."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            close(one[key], other[key], rel)
    elif isinstance(one, list):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            close(a, b, rel)
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=rel, abs=1e-12)
    else:
        assert one == other


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_rows_and_notes_are_those_of_a_table_read_at_once(both, suffix):
    small, large = both(rows(), suffix)
    assert len(list((large / "outcomes").glob("*.parquet"))) > 3
    assert notes(small) == notes(large)
    pd.testing.assert_frame_equal(read_run(small), read_run(large))


@pytest.mark.parametrize("measured", [True, False])
def test_analyses_start_from_the_same_items_and_facts(both, measured):
    small, large = both(rows() if measured else rows().drop(columns="sparsity_realised"))
    one, other = prepare(read_prepared(small), in_order=True), read_prepared(large)
    assert isinstance(other, Prepared)
    assert len(other.outcomes) < one.n_answers == other.n_answers
    for a, b in zip(one.all_items.tasks, other.all_items.tasks, strict=True):
        for name in ("config", "condition", "dense", "mean", "count", "item", "cluster"):
            assert np.array_equal(getattr(a, name), getattr(b, name)), name
        for name in ("sparsity", "realised"):
            np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-13, atol=0)
        assert (a.name, a.task_type, a.binary) == (b.name, b.task_type, b.binary)
        assert a.chance == pytest.approx(b.chance)
    assert list(one.all_items.items) == list(other.all_items.items)
    # a fit is known by its cells: realised levels are means, whose last bits follow the order of the sum
    assert measured or one.content == other.content
    for prepared in (one, other):
        _require_answerable(prepared, without_dense=False)
    close(json.loads(instant_answer(one).model_dump_json()), json.loads(instant_answer(other).model_dump_json()))
    data = [design.data(prepared).model_dump() for prepared in (one, other)]
    for found in data:
        found["remarks"] = sorted(found["remarks"])
    close(*data)
    # what follows from tokens and levels is taken at their means
    held = [[one.model_dump() for one in design.held_constant(prepared.shared)] for prepared in (one, other)]
    close(*held, rel=1e-4)
    assert list(design.caveats(one, design.data(one), None)) == list(design.caveats(other, design.data(other), None))


def test_a_run_is_summed_up_alike(both):
    small, large = both(rows())
    one, other = summarise_run(small), summarise_run(large)
    close(one.to_dict()["cells"], other.to_dict()["cells"])


def test_items_that_not_all_were_asked_leave_the_facts_as_they_leave_the_rows(both):
    table = rows()
    few = table["item_id"].str.endswith(("-7", "-8")) & (table["sparsity_requested"] == 0.875) & (table["task"] == "t1")
    small, large = both(table[~few])
    one, other = prepare(read_prepared(small), in_order=True), read_prepared(large)
    assert one.same.left_out
    assert one.same.left_out == other.same.left_out
    assert len(one.shared) == other.shared["n_answers"].sum()
    mean = (other.shared["seconds"] * other.shared["n_answers"]).sum() / len(one.shared)
    assert one.shared["seconds"].mean() == pytest.approx(mean)


def _late(table, **values):
    """The table with values in a row near its end, of a sparse answer."""
    at = table.index[(table["sparsifier"] == "a") & (table["sparsity_requested"] == 0.5) & table["score"].notna()][-3]
    for name, value in values.items():
        if name not in table:
            table[name] = pd.Series(None, index=table.index, dtype=object)
        table[name] = table[name].astype(object)
        table.loc[at, name] = value
    return table


FAULTS = {
    "a score in percent": lambda t: _late(t, score=40.0),
    "a score that is a word": lambda t: _late(t, score="good"),
    "no item": lambda t: _late(t, item_id=None),
    "a control character": lambda t: _late(t, item_id="t1-\x07"),
    "an ungraded answer with a score": lambda t: _late(t, ungraded="refused"),
    "nothing graded and no reason": lambda t: _late(t, score=None, ungraded=None, parse_ok=True),
    "more right than parts": lambda t: _late(t, k=3, n=2),
    "right and wrong": lambda t: _late(t, score=0.0, correct=True),
    "names that differ by case": lambda t: _late(t, model="M1"),
    "a slip of a word": lambda t: _late(t, sparsity_kind="kvcache"),
    "two sizes of a model": lambda t: _late(t, params=3),
    "two floors of an item": lambda t: _late(t, chance=0.125),
    "a second answer": lambda t: pd.concat([t, t.iloc[[5]]], ignore_index=True),
    "a second grading": lambda t: pd.concat(
        [t, t.iloc[[5]].assign(score=1 - t["score"].fillna(0)[5])], ignore_index=True
    ),
    "an item spelt in two ways": lambda t: t.assign(
        item_id=t["item_id"].mask(t.index == len(t) - 1, t["item_id"] + " ")
    ),
    "two levels": lambda t: _late(t, level=4.0, level_unit="bits"),
    "no level": lambda t: _late(t, sparsity_requested=None),
    "a sparse dense answer": lambda t: _late(t, sparsifier="dense"),
    "levels that differ by item": lambda t: t[t["sparsity_requested"].isin((0.0, 0.5))].assign(
        sparsity_requested=lambda t: (0.2 + t["item_id"].str[3:].astype(float) / 99).where(
            t["sparsifier"] != "dense", 0.0
        )
    ),
    "realised falls as requested rises": lambda t: t.assign(
        sparsity_realised=(0.9 - t["sparsity_realised"]).where(t["sparsifier"] != "dense", 0.0)
    ),
    "shares kept": lambda t: t.assign(
        sparsity_requested=(1.25 - t["sparsity_requested"]).where(t["sparsifier"] != "dense", 0.0)
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_late_in_the_table_is_worded_alike_and_leaves_nothing(fault, tmp_path, in_batches):
    table = FAULTS[fault](rows().drop(columns="sparsity_realised" if fault == "shares kept" else []))
    path = tmp_path / "log.csv"
    table.to_csv(path, index=False)
    with pytest.raises(SchemaError) as one:
        import_run(path, None, tmp_path / "run")
    in_batches()
    with pytest.raises(SchemaError) as other:
        import_run(path, None, tmp_path / "run")
    first = [str(error.value).splitlines() for error in (one, other)]
    assert first[1][:2][-1] == first[0][:2][-1]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["log.csv"]


def test_names_are_told_apart_and_mapped_alike(both):
    table = rows().rename(columns={"score": "points"}).assign(points=lambda t: t["points"] * 100)
    table["phase"] = np.where(
        table["sparsifier"] == "dense", "none", np.where(table["context_length"] == 1024, "prefill", "decode")
    )
    mapping = Mapping(columns={"score": "points"}, scale={"score": 0.01}, where={"task": ["t1", "t2"]})
    small, large = both(table, "parquet", mapping)
    assert notes(small) == notes(large)
    assert any("are told apart" in said for said in notes(large)["remarks"])
    one, other = prepare(read_prepared(small)), read_prepared(large)
    assert one.all_items.conditions == other.all_items.conditions


def test_ids_that_look_like_numbers_at_first_stay_as_they_are_written(both):
    table = rows()
    number = table["item_id"].str.removeprefix("t1-")
    table["item_id"] = ("0" + number).where((table["task"] == "t1") & (table.index < 1500), table["item_id"])
    table = table.sort_values("item_id", ignore_index=True)
    small, large = both(table, "csv")
    assert sorted(set(read_run(small)["item_id"])) == sorted(set(read_run(large)["item_id"]))


def test_a_run_without_one_of_its_shards_is_refused(both):
    _, large = both(rows())
    shards = sorted((large / "outcomes").glob("*.parquet"))
    content = bytearray(shards[1].read_bytes())
    content[len(content) // 2] ^= 1
    shards[1].write_bytes(bytes(content))
    with pytest.raises(StoreError, match="cannot be read as it was written"):
        read_prepared(large)
    shards[1].unlink()
    with pytest.raises(StoreError, match="shards are there"):
        read_prepared(large)


def test_importing_again_changes_nothing_and_takes_the_place_of_other_batches(both, tmp_path, in_batches):
    small, large = both(rows())
    before = read_run(large)
    in_batches(700)
    for again in (large, small):
        import_run(tmp_path / "log.parquet", None, again)
        pd.testing.assert_frame_equal(read_run(again), before)
        assert isinstance(read_prepared(again), Prepared)


def test_two_imports_into_one_folder_do_not_mix(tmp_path, in_batches):
    rows().to_parquet(tmp_path / "log.parquet")
    in_batches()
    beside = tmp_path / "deep" / ".run.importing"
    beside.mkdir(parents=True)
    with locked(beside), pytest.raises(StoreError, match="another process is writing"):
        import_run(tmp_path / "log.parquet", None, tmp_path / "deep" / "run")
    assert beside.is_dir()
    import_run(tmp_path / "log.parquet", None, tmp_path / "deep" / "run")
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["run"]


def test_copies_among_repeats_are_named(both):
    table = rows()
    small, large = both(pd.concat([table.assign(replicate=0), table.assign(replicate=1)], ignore_index=True))
    assert notes(small) == notes(large)
    assert any("replicate 1 repeats another" in said for said in notes(large)["remarks"])


@pytest.mark.parametrize("together", [False, True])
def test_means_of_very_many_items_are_drawn_as_the_bootstrap_draws_them(monkeypatch, together):
    table = rows(400, seed=3)
    if together:  # items of one number depend on each other, in all tasks
        table["cluster"] = table["item_id"].str.partition("-")[2]
    table = validate(table)
    table = table[table["score"].notna() & ((table["context_length"] == 1024) | (table["task"] != "t1"))]
    one = instant_answer(table, resamples=4000)
    monkeypatch.setattr(contrasts, "MANY", 100)
    monkeypatch.setattr(many_items, "MANY", 100)
    other = instant_answer(table, resamples=4000)
    for a, b in zip(one.contrasts, other.contrasts, strict=True):
        for mine, theirs in ((a.difference, b.difference), (a.retention, b.retention)):
            if mine is None:
                continue
            width = mine.interval.upper - mine.interval.lower
            assert (mine.interval.kind, theirs.interval.kind) == ("bootstrap", "normal")
            assert theirs.value == pytest.approx(mine.value, abs=1e-9)
            assert theirs.interval.lower == pytest.approx(mine.interval.lower, abs=0.06 * width)
            assert theirs.interval.upper == pytest.approx(mine.interval.upper, abs=0.06 * width)
        assert a.mcnemar == b.mcnemar
    for a, b in zip(one.tolerated, other.tolerated, strict=True):
        assert b.level.median == pytest.approx(a.level.median, abs=1e-9)
        assert b.level.lower == pytest.approx(a.level.lower, abs=0.02)
    for a, b in zip(one.trends, other.trends, strict=True):
        assert (a.n_items, a.n_answers) == (b.n_items, b.n_answers)
        assert b.slope.value == pytest.approx(a.slope.value, rel=1e-6)
        assert b.slope.interval.upper == pytest.approx(a.slope.interval.upper, rel=1e-6)


def test_items_answered_alike_count_as_often_in_a_trend():
    rng = np.random.default_rng(0)
    kinds, often = 12, rng.integers(1, 9, 12).astype(float)
    score = rng.integers(0, 2, (kinds, 4)).astype(float)
    at, item = np.tile(np.arange(4.0), kinds), np.repeat(np.arange(kinds), 4)
    block = np.zeros(len(item), dtype=np.int64)
    each = np.repeat(np.arange(kinds), often.astype(int))
    n = len(each)
    whole = gee.slope(
        score[each].ravel(), np.tile(np.arange(4.0), n), np.zeros(4 * n, dtype=np.int64), np.repeat(np.arange(n), 4)
    )
    found = gee.slope(score.ravel(), at, block, item, often)
    assert (found.n_items, found.n_answers) == (whole.n_items, whole.n_answers)
    assert [found.slope, found.se, found.correlation] == pytest.approx(
        [whole.slope, whole.se, whole.correlation], rel=1e-9
    )
