"""Where the numbers come from: command, data, models, sampler, packages."""

from dataclasses import dataclass

from tolerance.findings import Report
from tolerance.reports.sections.section import Section
from tolerance.reports.words import numbers


@dataclass(frozen=True)
class Values:
    """Everything that gives the same numbers again; ``id`` and ``format`` are of ``report.json``."""

    command: str
    created: str
    id: str
    format: str
    data_hash: str
    sources: str
    models: str
    sampler: str
    seed: int
    draws: str
    packages: str


def values(report: Report) -> Values:
    """From command to packages."""
    made = report.provenance
    packages = sorted(made.packages.items(), key=lambda pair: pair[0].lower())
    return Values(
        command=made.command,
        created=made.created,
        id=report.id,
        format=report.format,
        data_hash=made.data_hash,
        sources=", ".join(made.sources),
        models=", ".join(report.data.models),
        sampler=made.sampler,
        seed=made.seed,
        draws=numbers.count(made.draws),
        packages=", ".join(f"{name} {version}" for name, version in packages),
    )


SECTION = Section(id="provenance", title="Provenance", rows=values)
