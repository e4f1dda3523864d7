"""Shares kept that were read as sparsity are stopped; curves with a dip or a gain on the way are not."""

import pytest

from benchmarks.calibration.scenarios import SCENARIOS, simulate
from tests.simulated import outcomes
from tolerance import SchemaError, analyse, validate
from tolerance.data.direction import known_as_sparsity, refuse_shares_kept
from tolerance.data.importers import Mapping, import_run, import_table
from tolerance.data.published import validate_aggregates


def kept(frame):
    """The same answers with the share that is kept as their level."""
    sparse = frame["sparsifier"] != "dense"
    return frame.assign(
        sparsity_requested=frame["sparsity_requested"].where(~sparse, (1 - frame["sparsity_requested"]).round(3))
    ).drop(columns="sparsity_realised", errors="ignore")


@pytest.fixture
def wrong():
    return kept(outcomes(n_items=60, levels=(0.5, 0.8, 0.95), sparsifiers=("top-k",)))


def test_accuracy_that_rises_with_the_level_is_stopped_with_the_mend(wrong):
    with pytest.raises(SchemaError, match=r"accuracy rises with sparsity in 3 of 3 curves") as error:
        refuse_shares_kept(validate(wrong), "answers.csv")
    assert "complement: [sparsity_requested]" in str(error.value)
    assert "--levels-are-sparsity" in str(error.value)


def test_published_means_are_stopped_too(wrong):
    by = ["task", "task_type", "model", "sparsifier", "sparsity_requested"]
    means = wrong.groupby(by, as_index=False).agg(score=("score", "mean"), n_items=("score", "size"))
    with pytest.raises(SchemaError, match="the levels look like the share that is kept"):
        refuse_shares_kept(validate_aggregates(means), "means.csv")


def test_a_fit_is_stopped_before_it_samples(wrong):
    with pytest.raises(SchemaError, match="the levels look like the share that is kept"):
        analyse(validate(wrong))


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_simulated_table_is_stopped(name):
    for seed in range(20 if name == "bump" else 2):
        refuse_shares_kept(validate(simulate(name, seed)[0]), name)


@pytest.mark.parametrize("name", ["bump", "cliff", "floor", "no dense"])
def test_simulated_tables_turned_round_are_stopped(name):
    for seed in range(3):
        with pytest.raises(SchemaError, match="accuracy rises"):
            refuse_shares_kept(validate(kept(simulate(name, seed)[0])), name)


def test_noise_and_levels_that_all_help_are_not_stopped():
    flat = outcomes(
        n_items=50, dense=0.5, scales=dict.fromkeys([(t, m) for t in ("look-up",) for m in ("top-k",)], 1e9)
    )
    refuse_shares_kept(validate(flat), "flat")
    helps = outcomes(n_items=50, dense=0.2, levels=(0.5,), sparsifiers=("top-k",)).assign(score=1.0)
    refuse_shares_kept(validate(helps), "helps")


def test_a_mapping_turns_levels_round(wrong, tmp_path):
    wrong.assign(sparsity_requested=wrong["sparsity_requested"].replace(0.0, 1.0)).to_csv(tmp_path / "log.csv")
    mapping = Mapping(complement=["sparsity_requested"], ignore=[])
    assert set(import_table(tmp_path / "log.csv", mapping)["sparsity_requested"]) == {0.0, 0.5, 0.8, 0.95}


def test_an_import_is_stopped_or_notes_that_somebody_knows(wrong, tmp_path):
    wrong.to_csv(tmp_path / "log.csv", index=False)
    with pytest.raises(SchemaError, match="accuracy rises"):
        import_run(tmp_path / "log.csv", None, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    folder, _ = import_run(tmp_path / "log.csv", None, tmp_path / "run", levels_are_sparsity=True)
    assert known_as_sparsity(folder.manifest)
