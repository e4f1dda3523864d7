"""Fit, check, mend, fit again: what failing checks call for, tried in order, and every attempt recorded.

Divergent transitions are mended by smaller steps, other checks of sampling by sampling longer. Where that does not do,
scales that answers leave between next to nothing and large get priors that keep them away from nothing: chains go from
one to the other too seldom. Where the draws are one posterior and only the answers look unlike the fitted curves, the
family gets more room: wider priors of departures from it. Every attempt begins from the draws of the one before.
"""

import json
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from tolerance.data.prepared import Outcomes, prepare
from tolerance.data.run_folder import write_atomically
from tolerance.diagnostics.checks import ANY, DIVERGENCES, check, stopped, trustworthy, unsampled
from tolerance.errors import StoreError
from tolerance.estimands.curves import type_curves
from tolerance.estimands.parts import PartCurves, part_curves
from tolerance.estimands.source import Source
from tolerance.estimands.type_curve import TypeCurve
from tolerance.findings import Attempt, Check
from tolerance.inference.fit import Stage, fit
from tolerance.inference.folder import opened
from tolerance.inference.saved import Fit, saved_among, saved_key
from tolerance.inference.settings import Settings
from tolerance.model.priors import NARROW, PRIORS, Priors

ATTEMPTS = "attempts.json"
LONGER = (2, 4)
# Acceptance that smaller steps aim at, by how many times as long the chains are.
SMALLER = {1: 0.97, 2: 0.99, 4: 0.99}
# A departure of 0.1 logits after one halving becomes one of 0.3.
WIDER = 3.0


@dataclass(frozen=True)
class Refitted:
    """The last fit, what its curves are made from, curves in all and by part, its checks, and how it came about."""

    fit: Fit
    source: Source
    curves: list[TypeCurve]
    parts: list[PartCurves]
    checks: list[Check]
    attempts: list[Attempt]


@dataclass(frozen=True)
class _Try:
    """Settings by what differs from the first: how many times as long, smaller steps, other priors."""

    times: int = 1
    smaller: bool = False
    narrower: bool = False
    wider: bool = False

    def of(self, settings: Settings) -> Settings:
        """The settings to fit with."""
        priors = narrowed(settings.priors) if self.narrower else settings.priors
        priors = widened(priors) if self.wider else priors
        target = max(settings.target_accept, SMALLER[self.times]) if self.smaller else settings.target_accept
        tune, draws = self.times * settings.tune, self.times * settings.draws
        return replace(settings, tune=tune, draws=draws, target_accept=target, priors=priors)

    @property
    def change(self) -> str:
        """What was changed, in words."""
        length = [f"{self.times} times as long"] if self.times > 1 else []
        sampling = ", with ".join(length + ["smaller steps"] * self.smaller)
        narrower = "narrower priors of what single curves do" if self.narrower else ""
        wider = f"priors of departures {WIDER:g} times as wide" if self.wider else ""
        return "; ".join(part for part in (sampling, narrower, wider) if part) or "as asked"

    def next(self, checks: list[Check], priors: Priors, stopped: bool = False) -> "_Try | None":
        """What to try after these checks, if anything; ``priors`` are those asked for.

        Of chains that were ``stopped`` half-way nothing counts but divergences and chains in other places: the other
        checks ask for as many draws as there would have been.
        """
        if trustworthy(checks):
            return None
        failed = [name for name in unsampled(checks) if not stopped or name in (DIVERGENCES, ANY)]
        if not failed:
            return None if self.wider else replace(self, wider=True)
        if self.wider:
            # what was one posterior before is not sought in a broken one
            return None
        if not self.smaller and failed == [DIVERGENCES]:
            return replace(self, smaller=True)
        smaller = self.smaller or DIVERGENCES in failed
        # what twice as many draws did not mend is a matter of priors rather than of length
        if self.times >= LONGER[0] and not self.narrower and narrowed(priors) != priors:
            return replace(self, narrower=True, smaller=smaller)
        longer = [times for times in LONGER if times > self.times]
        return replace(self, times=longer[0], smaller=smaller) if longer else None


TRIES = [_Try(*one) for one in product((1, *LONGER), (False, True), (False, True), (False, True))]


def narrowed(priors: Priors) -> Priors:
    """Priors that keep scales of what single curves do away from nothing; one that the caller chose stays."""
    unchosen: dict[str, Any] = {k: narrow for k, narrow in NARROW.items() if getattr(priors, k) == getattr(PRIORS, k)}
    return replace(priors, **unchosen)


def widened(priors: Priors) -> Priors:
    """Priors under which cells, and types, depart further from the family."""
    (cell, cell_spread), (kind, kind_spread) = priors.sd_departure, priors.sd_departure_type
    return replace(priors, sd_departure=(WIDER * cell, cell_spread), sd_departure_type=(WIDER * kind, kind_spread))


def refitted(
    outcomes: Outcomes,
    settings: Settings,
    seed: int | None = None,
    folder: Path | None = None,
    stage: Stage = lambda _: None,
) -> Refitted:
    """Fit until the checks pass or nothing is left to try.

    A later attempt that is saved already is where it goes on, so an unchanged analysis samples nothing.
    """
    outcomes = prepare(outcomes)
    each = [one.of(settings) for one in TRIES]
    found = None if folder is None else saved_among(outcomes, each, seed, folder)
    place, asked = found or (0, each[0])
    now, attempts = TRIES[place], _before(folder) if place else []
    before: Refitted | None = None
    while True:
        earlier = None if before is None else before.fit
        fitted = fit(outcomes, settings=asked, seed=seed, folder=folder, stage=stage, before=earlier)
        stage("checking the fit")
        source = Source(fitted)
        curves = type_curves(source)
        parts = part_curves(source, curves)
        checks = check(fitted, [*curves, *(curve for part in parts for curve in part.curves)])
        attempts = [*attempts, Attempt(change=now.change, failed=[one.name for one in checks if not one.passed])]
        done = Refitted(fitted, source, curves, parts, checks, attempts)
        later = now.next(checks, settings.priors, stopped(fitted))
        if later is None:
            break
        stage(f"some checks failed, trying again: {later.change}")
        now, asked, before = later, later.of(settings), done
    if before is not None and now.wider and unsampled(done.checks):
        # draws that are one posterior, of a family that is too narrow, say more than broken ones of a wider one
        done = replace(before, attempts=attempts)
        if folder is not None:
            with opened(folder, outcomes.outcomes, force=True):
                done.fit.save(folder)
    if folder is not None:
        kept = {"fit": done.fit.key, "attempts": [one.model_dump() for one in attempts]}
        write_atomically(folder / ATTEMPTS, (json.dumps(kept, indent=1) + "\n").encode())
    return done


def _before(folder: Path | None) -> list[Attempt]:
    """Attempts before the one that is saved in a folder; empty where they were not recorded, or are another fit's."""
    if folder is None or not (folder / ATTEMPTS).is_file():
        return []
    try:
        kept = json.loads((folder / ATTEMPTS).read_text())
        if not isinstance(kept, dict) or kept.get("fit") != saved_key(folder):
            return []
        return [Attempt.model_validate(row) for row in kept["attempts"]][:-1]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{folder / ATTEMPTS}: cannot be read ({error}). Remove the folder and fit again.") from error
