"""Outcomes -> fit -> checks -> findings. The one orchestrator, read from top to bottom in `analyse`."""

import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tolerance import findings
from tolerance.analysis import design
from tolerance.analysis.curve_findings import common_ends, curve, parts, threshold
from tolerance.analysis.saved import REPORT
from tolerance.data.direction import refuse_shares_kept
from tolerance.data.manifest import digest
from tolerance.data.planned import LACKS
from tolerance.data.prepared import Outcomes, Prepared, prepare
from tolerance.data.run_folder import write_atomically
from tolerance.diagnostics import as_findings, checks
from tolerance.diagnostics.model_comparison import compare_families
from tolerance.diagnostics.refit import Refitted, refitted
from tolerance.errors import DesignError
from tolerance.estimands.contrasts import Contrasted
from tolerance.estimands.curve_state import curve_states
from tolerance.estimands.kv_budgets import budgets
from tolerance.estimands.rankings import comparisons, orderings
from tolerance.inference.fit import Stage
from tolerance.inference.folder import opened
from tolerance.inference.saved import Fit
from tolerance.inference.settings import Settings
from tolerance.instant.agreement import disagreements
from tolerance.instant.answer import instant_answer
from tolerance.question import Question
from tolerance.stats.decide import required

FAMILIES = "families"


def analyse(
    outcomes: Outcomes,
    *,
    question: Question | None = None,
    settings: Settings | None = None,
    seed: int | None = None,
    without_dense: bool = False,
    levels_are_sparsity: bool = False,
    families: bool = False,
    folder: str | os.PathLike[str] | None = None,
    force: bool = False,
    command: str = "",
    sources: tuple[str, ...] = (),
    stage: Stage | None = None,
    at_once: Callable[[findings.Instant], None] | None = None,
) -> findings.Report:
    """Fit validated outcomes, or published means, and state what they show.

    With ``folder``, draws and ``report.json`` are kept there; ``force`` writes over the analysis of another run. Rows
    may come in any order. ``at_once`` is told the instant answer, which needs no fit, before sampling starts. A fit
    that fails its checks is repeated: longer and with smaller steps, or with more room to leave the family. What still
    fails is withheld. ``families`` also compares curve families, which takes as many fits.

    Raises:
        DesignError: no dense baseline (and ``without_dense`` is not set), or nothing to fit.
        SchemaError: accuracy rises with the level, as with shares kept (and ``levels_are_sparsity`` is not set).
        StoreError: before anything is sampled, if the folder cannot be written to or holds something else.
    """
    question, settings = question or Question(), settings or Settings()
    folder = None if folder is None else Path(folder)
    prepared = prepare(outcomes, in_order=True)
    _require_answerable(prepared, without_dense)
    if not levels_are_sparsity:
        refuse_shares_kept(prepared.outcomes, "outcomes")
    with nullcontext() if folder is None else opened(folder, prepared.outcomes, force=force):
        instant = _instant(prepared, question)
        if at_once is not None and instant is not None:
            at_once(instant)
        done = refitted(prepared, settings, seed, folder, stage or (lambda _: None))
        report = _report(prepared, done, question, instant, command, sources, _lacks(prepared.outcomes))
        if instant is not None:
            report = report.model_copy(update={"instant": instant, "disagreements": disagreements(report, instant)})
        report = findings.stated(report, prepared.scales)
        if families:
            inside = None if folder is None else folder / FAMILIES
            compared = compare_families(prepared, settings=settings, seed=seed, folder=inside, stage=stage)
            report = report.model_copy(update={"families": compared})
        if folder is not None:
            write_atomically(folder / REPORT, (report.model_dump_json(indent=1) + "\n").encode())
    return report


def _instant(prepared: Prepared, question: Question) -> findings.Instant | None:
    """The answer that needs no fit; published means have no items to give it from."""
    if prepared.published:
        return None
    return instant_answer(prepared, retention=question.retention, prob=question.interval_prob)


def _lacks(outcomes: pd.DataFrame) -> dict[str, Any]:
    """What a run that is a part of its plan carries of it, as fields of `findings.Data`."""
    lacks = outcomes.attrs.get(LACKS)
    return {} if lacks is None else {"n_planned": lacks["planned"], "missing": lacks["missing"]}


def _require_answerable(prepared: Prepared, without_dense: bool) -> None:
    """Refuse what cannot be fitted, or not answered, before a folder is touched."""
    cells = prepared.cells
    if without_dense or cells.n_dense:
        return
    first = cells.frame.sort_values("sparsity").iloc[0]
    scale = cells.scales.get(first["sparsifier"])
    lowest = f"{first['sparsity']:g}" if scale is None else scale.level(first["sparsity"])
    raise DesignError(
        f"no dense baseline: the lowest level is {lowest}, so the share of dense accuracy that is kept is unknown. "
        "Add answers of the dense model, or pass --without-dense to describe accuracy by level alone."
    )


def _report(
    prepared: Prepared,
    done: Refitted,
    question: Question,
    instant: findings.Instant | None,
    command: str,
    sources: tuple[str, ...],
    lacks: dict[str, Any],
) -> findings.Report:
    outcomes, passed = prepared.shared, checks.trustworthy(done.checks)
    states = curve_states(done.fit, done.curves, passed)
    contrasted = Contrasted(done.source, states, question)
    scaled = as_findings.sensitivities(done.fit, states, question.retention)
    ends = common_ends(states)
    data = design.data(prepared).model_copy(update=lacks)
    return findings.Report(
        id=digest([done.fit.key, asdict(question)])[:8],
        fit_passed=passed,
        retention=question.retention,
        interval_prob=question.interval_prob,
        decision_prob=question.decision_prob,
        direction_prob=required(question),
        data=data,
        held_constant=list(design.held_constant(outcomes)),
        curves=[curve(one, done.source, question) for one in states],
        thresholds=[
            threshold(one, ends, s.leaning, question, done.source) for one, s in zip(states, scaled, strict=True)
        ],
        comparisons=list(comparisons(contrasted)),
        checks=done.checks,
        predicted=as_findings.predicted(done.fit, checks.sampled(done.checks)),
        sensitivities=scaled,
        shapes=list(as_findings.shapes(states, question.decision_prob)),
        left_out=as_findings.left_out(done.fit, passed),
        attempts=done.attempts,
        caveats=list(design.caveats(prepared, data, instant)),
        provenance=_provenance(prepared, done.fit, command, sources),
        margin=question.margin,
        equivalence=question.equivalence,
        contrasts=list(contrasted.contrasts()),
        orderings=list(orderings(states, question)),
        budgets=list(budgets(done.source, outcomes, states, question)),
        parts=list(parts(done.fit, done.source, done.parts, passed, question)),
    )


def _provenance(prepared: Prepared, fitted: Fit, command: str, sources: tuple[str, ...]) -> findings.Provenance:
    settings = fitted.settings
    return findings.Provenance(
        command=command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        data_hash=prepared.table,
        fit=fitted.key,
        seed=fitted.seed,
        sampler=f"NUTS (nutpie), {settings.chains} chains x ({settings.tune} warm-up + {settings.draws} draws)",
        draws=settings.chains * settings.draws,
        packages=fitted.packages,
        sources=list(sources),
        priors={name: np.atleast_1d(value).tolist() for name, value in asdict(settings.priors).items()},
    )
