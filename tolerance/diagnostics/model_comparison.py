"""Which curve family predicts left-out answers best? Each is a choice of priors and likelihood; all see the same data.

The tail of the Burr curve is held near a Weibull's or a log-logistic's, or estimated; departures from the family are
held near 0, or estimated. Compared is the expected log density of left-out cells (`tolerance.diagnostics.loo`).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tolerance import findings
from tolerance.data.prepared import Outcomes, prepare
from tolerance.diagnostics.checks import check, unsampled
from tolerance.diagnostics.loo import REFITS, Loo, difference, refit_high_k
from tolerance.estimands.curves import type_curves
from tolerance.inference.fit import Stage, fit
from tolerance.inference.settings import Settings
from tolerance.model.priors import LogNormal, Normal

# Tight priors hold a parameter where a family has it: nu of 0.05 is a Weibull to within a hundredth.
NEARLY_WEIBULL: Normal = (-3.0, 0.1)
NEARLY_LOG_LOGISTIC: Normal = (0.0, 0.1)
NO_DEPARTURE: LogNormal = (0.005, 0.1)


@dataclass(frozen=True)
class Member:
    """A family: what differs from the usual settings, in words and as settings."""

    change: str
    settings: Settings


def usual(settings: Settings | None = None) -> dict[str, Member]:
    """The families that are compared unless others are given."""
    settings = settings or Settings()

    def by(tail: Normal | None = None, *, departures: bool = True) -> Settings:
        priors = settings.priors if tail is None else replace(settings.priors, log_tail=tail)
        if not departures:
            priors = replace(priors, sd_departure=NO_DEPARTURE, sd_departure_type=NO_DEPARTURE)
        return replace(settings, priors=priors)

    return {
        "Burr, departures": Member("the usual: tail and departures estimated", settings),
        "Weibull, departures": Member("tail held near 0", by(NEARLY_WEIBULL)),
        "log-logistic, departures": Member("tail held near 1", by(NEARLY_LOG_LOGISTIC)),
        "Burr, no departures": Member("departures held near 0", by(departures=False)),
        "Weibull, no departures": Member("tail and departures held near 0", by(NEARLY_WEIBULL, departures=False)),
        "log-logistic, no departures": Member(
            "tail held near 1, departures near 0", by(NEARLY_LOG_LOGISTIC, departures=False)
        ),
    }


def compare_families(
    outcomes: Outcomes,
    *,
    settings: Settings | None = None,
    seed: int | None = None,
    families: Mapping[str, Member] | None = None,
    folder: str | os.PathLike[str] | None = None,
    stage: Stage | None = None,
    refits: int = REFITS,
) -> list[findings.Family]:
    """Fit validated outcomes with each family and compare them by left-out cells, the best first.

    Cells whose Pareto k is too high are left out by fits of their own, up to ``refits`` a family. A family whose draws
    are not one posterior, or of which more cells are beyond reach, has its numbers withheld and is not compared; those
    come last. Differences are to the best of the others. With ``folder``, fits are remembered in folders inside.
    """
    outcomes = prepare(outcomes)
    tell = stage or (lambda _: None)
    members = families or usual(settings)
    found: dict[str, tuple[list[str], Loo]] = {}
    for name, member in members.items():

        def told(what: str, name: str = name) -> None:
            tell(f"{name}: {what}")

        inside = None if folder is None else Path(folder) / name.replace(", ", "-").replace(" ", "-").lower()
        fitted = fit(outcomes, settings=member.settings, seed=seed, folder=inside, stage=told)
        checks = check(fitted, type_curves(fitted))
        failed = unsampled(checks)
        found[name] = failed, refit_high_k(fitted, at_most=0 if failed else refits, stage=told)
    sound = {name: left for name, (failed, left) in found.items() if not failed and not left.high}
    best = max(sound.values(), key=lambda left: left.elpd, default=None)
    each = [_family(name, members[name], *found[name], best) for name in members]
    return sorted(each, key=lambda one: (one.status != "ok", -(one.difference or 0.0)))


def _family(name: str, member: Member, failed: list[str], left: Loo, best: Loo | None) -> findings.Family:
    sound = best is not None and not failed and not left.high
    apart = difference(left, best) if best is not None and sound else None
    return findings.Family(
        name=name,
        change=member.change,
        status="ok" if sound else "withheld",
        failed=failed,
        high_k=left.high,
        n_units=len(left.k),
        refitted=left.refitted,
        elpd=left.elpd if sound else None,
        difference=apart[0] if apart else None,
        se=apart[1] if apart else None,
    )
