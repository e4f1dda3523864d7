"""The public names: each resolves, takes paths as text or Path, and stands in docs/api.md as its docstring says."""

import ast
import inspect
from importlib import import_module
from pathlib import Path

import pytest

import tolerance
from docs import api
from tests.fake_fit import fake_fit
from tests.report_example import normal
from tests.simulated import outcomes
from tolerance.comparison import ask
from tolerance.errors import DesignError

ROOT = Path(__file__).parent.parent
CELLS = ROOT / "docs" / "audits" / "cells.csv"


@pytest.fixture(scope="module")
def answers():
    return tolerance.validate(outcomes(n_items=20, levels=(0.5, 0.9), sparsifiers=("oracle-top-k", "streaming")))


@pytest.mark.parametrize("name", tolerance.__all__)
def test_every_public_name_is_that_of_its_home(name):
    home = import_module(f"tolerance.{tolerance._HOME[name]}")
    assert getattr(tolerance, name) is getattr(home, name)
    assert inspect.getdoc(getattr(tolerance, name))


def test_type_checkers_are_told_the_same_homes():
    told = {}
    for node in ast.walk(ast.parse((ROOT / "tolerance" / "__init__.py").read_text())):
        if isinstance(node, ast.ImportFrom) and node.module != "tolerance.plugins":
            told |= {alias.name: node.module.removeprefix("tolerance.") for alias in node.names}
    assert {name: told[name] for name in tolerance.__all__} == tolerance._HOME


def test_a_name_that_is_none_is_refused():
    with pytest.raises(AttributeError, match="module 'tolerance' has no attribute 'fits'"):
        tolerance.fits  # noqa: B018


def test_the_page_of_the_library_is_what_its_docstrings_say():
    assert api.page() == api.PAGE.read_text(encoding="utf-8"), "run: python -m docs.api"


def test_the_page_has_every_public_name_once():
    assert sorted(" ".join(api.CONTENTS.values()).split()) == sorted(tolerance.__all__)


def public_functions():
    for name in tolerance.__all__:
        node = api.definition(name)
        yield from [(name, node)] if isinstance(node, ast.FunctionDef) else [(name, one) for one in api._methods(node)]


@pytest.mark.parametrize(("name", "node"), [pytest.param(n, f, id=f"{n} {f.name}") for n, f in public_functions()])
def test_whatever_takes_a_path_takes_text(name, node):
    for arg in [*node.args.args, *node.args.kwonlyargs]:
        kinds = {one.strip() for one in ast.unparse(arg.annotation).split("|")} if arg.annotation else set()
        assert "Path" not in kinds, f"{name}: {arg.arg}"
        assert "os.PathLike[str]" not in kinds or "str" in kinds, f"{name}: {arg.arg}"


@pytest.mark.parametrize("kind", [str, Path])
def test_logs_become_a_run_and_findings_a_page_by_text_or_path(kind, tmp_path):
    outcomes(n_items=4).to_csv(tmp_path / "log.csv", index=False)
    folder, n = tolerance.import_run(kind(tmp_path / "log.csv"), None, kind(tmp_path / "run"))
    n_read = len(tolerance.read_run(kind(tmp_path / "run")))
    assert n == n_read == len(tolerance.import_table(kind(tmp_path / "log.csv")))
    assert folder.path == tmp_path / "run"
    page = tolerance.write(normal(), kind(tmp_path / "page"), template_dir=kind(ROOT / "templates"))
    assert page == tmp_path / "page" / "report.html"
    assert tolerance.read_report(kind(tmp_path / "page")).id == normal().id


@pytest.mark.parametrize("kind", [str, Path])
def test_a_plan_is_read_by_text_or_path(kind, tmp_path):
    (tmp_path / "plan.yaml").write_text("{models: [tiny], tasks: [two-hop], sparsifiers: [top-k], levels: [0, 0.5]}")
    with pytest.raises(tolerance.SchemaError, match=r"plan\.yaml"):
        tolerance.Plan.from_yaml(kind(tmp_path / "plan.yaml"))
    with pytest.raises(tolerance.StoreError, match="no fit"):
        tolerance.read_fit(tolerance.validate(outcomes(n_items=4)), kind(tmp_path))


def test_a_claim_is_audited_by_its_id_against_a_file_or_answers(answers):
    by_file = tolerance.audit("snapkv-92", str(CELLS))
    assert by_file == tolerance.audit("snapkv-92", CELLS)
    assert by_file.verdict in ("supported", "supported only for", "contradicted", "not identifiable")
    with pytest.raises(DesignError, match="There is: answers"):
        tolerance.audit("snapkv-92", answers)


@pytest.fixture
def asked(answers, monkeypatch):
    """A fit whose checks pass, or do not."""

    def ask_with(*words, passed=True, **options):
        monkeypatch.setattr(ask, "check", lambda *_: [])
        monkeypatch.setattr(ask, "trustworthy", lambda _: passed)
        return tolerance.compare(answers, fake_fit(answers), *words, **options)

    return ask_with


def test_arms_are_compared_as_they_are_typed(asked):
    found = asked("streaming@0.9", "dense", hold=["params", "sparsity"])
    assert (found.treatment, found.reference) == ("streaming@0.9", "dense")
    assert {at.axis for one in found.conclusions for at in one.axes} == {"parameters", "sparsity fraction"}
    assert found == asked(tolerance.Arm("streaming", 0.9), "dense", hold="params,sparsity")


def test_a_plans_word_finds_the_rows_of_an_oracle(asked):
    assert asked("top-k@0.9", "dense", hold="params").treatment == "oracle-top-k@0.9"
    with pytest.raises(DesignError, match="no answer under 'top-p'"):
        asked("top-p@0.9", "dense")


def test_a_fit_that_fails_its_checks_is_asked_in_vain(asked):
    found = asked("top-k@0.9", "dense", hold="params", passed=False)
    assert {one.label for one in found.conclusions} == {"withheld"}
    assert found.to_frame()["difference"].isna().all()


def test_questions_plans_and_fits_are_printed_on_one_screen(answers):
    plan = tolerance.Plan.make(
        models=["tiny"],
        tasks=["two-hop"],
        sparsifiers=["top-k", {"streaming": {"sinks": 4}}],
        levels=[0, *(round(0.01 * i, 2) for i in range(1, 99))],
        context_lengths=[64],
        items=8,
    )
    for one in (tolerance.Question(), plan, fake_fit(answers)):
        lines = repr(one).splitlines()
        assert len(lines) <= 25
        assert max(map(len, lines)) <= 80
    question = tolerance.Question(margin=0.02)
    assert eval(repr(question), {"Question": tolerance.Question}) == question
    assert "streaming {'sinks': 4}" in repr(plan)
    assert "methods: oracle-top-k, streaming" in repr(fake_fit(answers))
