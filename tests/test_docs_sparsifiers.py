"""docs/sparsifiers.md lists every method as the code has it."""

import re
from pathlib import Path

import yaml

from tolerance.runners.collect.plan import Plan
from tolerance.runners.sparsifiers import SPARSIFIERS, Eviction, WeightMethod, get

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "sparsifiers.md").read_text()
ROWS = [
    [cell.strip(" `") for cell in row.strip("|").split("|")] for row in re.findall(r"^\| `.*\|$", TEXT, re.MULTILINE)
]


def phase(method):
    if isinstance(method, Eviction | WeightMethod):
        return "decode" if isinstance(method, Eviction) else "load"
    return "the plan's" if len(method.acts_in) == 2 else next(iter(method.acts_in))


def test_every_method_stands_in_the_table_as_it_is():
    made = [get(name, **({"press": "Xyz"} if name == "kvpress" else {})) for name in SPARSIFIERS.ours]
    wanted = {m.name: [m.name, m.label.replace("Xyz", "<press>"), m.kind, m.unit, phase(m)] for m in made}
    assert {row[0]: row[:5] for row in ROWS} == wanted
    assert all((" alone" in row[5]) == (SPARSIFIERS[row[0]].levels is not None) for row in ROWS)


def test_the_plan_of_pruned_checkpoints_is_a_plan():
    given = yaml.safe_load(re.search(r"```yaml\n(models.*?)```", TEXT, re.DOTALL)[1])
    made = Plan.make(**given, levels=[0], tasks=["kv-lookup"], context_lengths=[64], items=4)
    assert [one.level for one in made.pruned] == [0.5, 0.7]


def test_the_readme_leads_to_every_method_and_counts_them():
    readme = (ROOT / "README.md").read_text()
    assert "](docs/sparsifiers.md)" in readme
    assert f"{COUNTS[len(SPARSIFIERS.ours)]} methods" in readme


COUNTS = {19: "Nineteen", 20: "Twenty", 21: "Twenty-one", 22: "Twenty-two", 23: "Twenty-three", 24: "Twenty-four"}
