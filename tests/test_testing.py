"""The published checks: all of ours pass them, and each finds the fault it is there for."""

import json
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch

from tests.test_importers import Lines
from tolerance.runners.sparsifiers import PRUNINGS, SPARSIFIERS, Eviction, TopK, WeightPruning, budget, get
from tolerance.runners.sparsifiers.prompts import Calibrated
from tolerance.runners.tasks import TASKS, Puzzle, PuzzleTask, entities
from tolerance.testing import check_importer, check_sparsifier, check_task

FEW = {"samples": 3, "length": 64}
# kvpress is installed apart
OURS = [get(name) for name in SPARSIFIERS.ours if name != "kvpress"]
OURS += [replace(m, allocation="per-head") for m in OURS if isinstance(m, Eviction) and m.per_head]
OURS += [get("magnitude", compare="row")]


@pytest.mark.parametrize("method", OURS, ids=lambda m: f"{m.label}{'-row' * (getattr(m, 'compare', '') == 'row')}")
def test_every_sparsifier_of_ours_holds(method):
    check_sparsifier(method, model=False)


@pytest.mark.parametrize("name", ["top-k", "key-norm", "wanda"])
def test_a_sparsifier_is_checked_on_the_shipped_model_too(name):
    cls = SPARSIFIERS[name]
    check_sparsifier(cls(**FEW) if issubclass(cls, Calibrated) else cls, seeds=[0])


@pytest.mark.parametrize("name", TASKS.ours)
def test_every_task_of_ours_holds(name):
    check_task(TASKS[name])


def test_the_importer_of_tables_holds(table, tmp_path):
    from tolerance.data.importers import IMPORTERS

    table.to_parquet(tmp_path / "log.parquet")
    check_importer(IMPORTERS["table"], tmp_path / "log.parquet")


@dataclass(frozen=True)
class Good(TopK):
    """A pattern that holds; those below break one thing each."""

    name: ClassVar[str] = "good"


class Nameless(Good):
    name = ""


class Melting:
    name, label = "melting", "melting"


class Unkind(Good):
    kind = "wieght"


class Greedy(Good):
    def keep(self, scores, visible, level):
        return super().keep(scores, visible, level * 0.9)


class Peeking(Good):
    def keep(self, scores, visible, level):
        n = budget(visible, level).expand(*scores.shape[:-1], 1)
        return torch.arange(visible.shape[-1]).flip(0) < n


class Unnested(Good):
    def keep(self, scores, visible, level):
        kept = super().keep(scores.flip(-1), visible.flip(-1), level) if level > 0.4 else None
        return super().keep(scores, visible, level) if kept is None else kept.flip(-1)


class Restless(Good):
    def keep(self, scores, visible, level):
        noise = torch.rand_like(scores).masked_fill(~visible, float("-inf"))
        return super().keep(noise, visible, level)


class Crowded(Good):
    def keep(self, scores, visible, level):
        return super().keep(scores + scores.masked_fill(~visible, 0).mean(0, keepdim=True), visible, level)


class Sparse0(Good):
    def keep(self, scores, visible, level):
        return super().keep(scores, visible, max(level, 0.1))


class Local(Good):
    def __reduce__(self):
        raise TypeError("no")


class Counting(Good):
    def __repr__(self):
        return object.__repr__(self)


@dataclass(frozen=True)
class Scored(Eviction):
    """An eviction that holds."""

    name: ClassVar[str] = "scored"

    def score(self, seen):
        return seen.keys.float().norm(dim=-1)

    def multiply_adds(self, n, *, heads, kv_heads, dim, value_dim):
        return n * kv_heads * dim


class Costless(Scored):
    multiply_adds = Eviction.multiply_adds


class Overlooking(Scored):
    def score(self, seen):
        return seen.keys.float().norm(dim=-1) - seen.keys.float().mean((2, 3))[..., None] ** 2 * torch.arange(40)


class Mixing(Scored):
    def score(self, seen):
        return super().score(seen) + torch.arange(40) * seen.end.sum()


class Misshapen(Scored):
    def score(self, seen):
        return super().score(seen).mean(1)


class Undefined(Scored):
    def score(self, seen):
        return super().score(seen).log() * float("nan")


class Alike(Scored):
    per_head = False


@dataclass(frozen=True)
class Worthless(WeightPruning):
    """A pruning that keeps the smallest and says the largest."""

    name: ClassVar[str] = "worthless"

    def worth(self, weight, norms):
        return weight.abs()

    def competing(self, worth):
        return worth

    def keep(self, weight, norms, level):
        return super().keep(1 / (1 + weight.abs()), norms, level)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (Nameless, "name is ''"),
        (Melting, "no frozen dataclass"),
        (Unkind, "kind is 'wieght'"),
        (Greedy, "exactly its budget"),
        (Peeking, "not visible"),
        (Unnested, "keeps what a lower level drops"),
        (Restless, "two calls differ"),
        (Crowded, "other rows of the batch"),
        (Sparse0, "exactly its budget|drops pairs"),
        (Local, "cannot be sent to another process"),
        (Counting, "two of equal options"),
        (Costless, "what scoring costs"),
        (Overlooking, "not held reach a score"),
        (Mixing, "other rows reach a score"),
        (Misshapen, "score has the shape"),
        (Undefined, "no finite number"),
        (Alike, "per_head is False"),
        (Worthless, "worth more than what stays"),
    ],
)
def test_a_broken_sparsifier_is_told_what_is_wrong(broken, said):
    with pytest.raises(AssertionError, match=said) as error:
        check_sparsifier(broken, model=False)
    assert str(error.value).endswith(".")


def test_what_the_broken_ones_are_made_of_holds():
    for good in (Good, Scored):
        check_sparsifier(good, model=False)


class Echo(PuzzleTask):
    """A task that holds."""

    name, task_type = "echo", "retrieval"

    def puzzle(self, dialect, context_length, rng):
        words = rng.sample(entities(), 4)
        facts = tuple(zip(words[:2], words[2:], strict=True))
        return Puzzle("lookup", facts[0][0], facts[0][1], tuple(words[2:]), facts, (0,))


def echo(**changes):
    """A task whose items are changed."""

    class Changed(Echo):
        def item(self, dialect, context_length, seed, index):
            made = super().item(dialect, context_length, seed, index)
            return replace(made, **{k: v(made) if callable(v) else v for k, v in changes.items()})

    return Changed


class Typeless(Echo):
    task_type = "retreival"


class Global(Echo):
    def puzzle(self, dialect, context_length, rng):
        import random

        return super().puzzle(dialect, context_length, random)


class Constant(Echo):
    def item(self, dialect, context_length, seed, index):
        first = super().item(dialect, context_length, seed, 0)
        return replace(first, item_id=super().item(dialect, context_length, seed, index).item_id)


class Chatty(Echo):
    max_new_tokens = 1

    def puzzle(self, dialect, context_length, rng):
        made = super().puzzle(dialect, context_length, rng)
        return replace(made, answer="two words", candidates=("two words", "b"), facts=((made.asked, "two words"),) * 2)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (Typeless, "task_type is 'retreival'"),
        (Global, "differs when it is made again"),
        (Constant, "two items have one prompt"),
        (Chatty, "its own answer|takes 2 tokens"),
        (echo(item_id="one"), "two items have one id"),
        (echo(task="other"), "its task is 'other'"),
        (echo(chance=1.0), "chance is 1"),
        (echo(dispersion=3.0), "dispersion is 3"),
        (echo(scope=10**6), "scope is 1000000"),
        (echo(answers=()), "its answers are"),
        (echo(context_length=7), "context_length is 7"),
        (echo(prompt=lambda item: item.prompt * 3), "its prompt takes"),
        (echo(answers=("nowhere",), candidates=("a", "b"), grader="named"), "not among its candidates"),
        (echo(grader="number"), "own answer .* is judged 0 of 1"),
    ],
)
def test_a_broken_task_is_told_what_is_wrong(broken, said):
    with pytest.raises(AssertionError, match=said):
        check_task(broken)


def test_a_class_of_a_task_that_holds_is_made():
    check_task(Echo)


class Blind(Lines):
    def recognises(self, path):
        return False


class Wide(Lines):
    def recognises(self, path):
        return True


class Shifting(Lines):
    def read(self, path):
        return super().read(path).assign(score=torch.rand(1).item())


class Ordered(Lines):
    def read(self, path):
        return super().read(path).assign(item_id="q", replicate=range(3)).drop(columns="task")


class Empty(Lines):
    def read(self, path):
        return super().read(path).head(0)


class Editing(Lines):
    def read(self, path):
        frame = super().read(path)
        path.write_text(path.read_text() + "\n")
        return frame


@pytest.mark.parametrize(
    ("importer", "said"),
    [
        (Lines, None),
        (Blind, "does not recognise log.lines"),
        (Wide, "recognises a file that is not there"),
        (Shifting, "two tables"),
        (Ordered, "no outcomes.*task"),
        (Empty, "reads no row"),
        (Editing, "reading changes the file"),
    ],
)
def test_an_importer_is_told_what_is_wrong(importer, said, tmp_path):
    row = {"task": "vt", "model": "lm", "sparsifier": "dense", "sparsity_requested": 0.0, "score": 1.0}
    path = tmp_path / "log.lines"
    path.write_text("\n".join(json.dumps({**row, "item_id": f"q{i}"}) for i in range(3)))
    if said is None:
        check_importer(importer, path)
        return
    with pytest.raises(AssertionError, match=said):
        check_importer(importer, path)


def test_all_pruning_methods_are_among_what_is_checked():
    assert {type(method) for method in OURS} >= set(PRUNINGS)
