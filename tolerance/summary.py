"""What a run holds: answers, items and observed accuracy by task, method and level. No model, so it is instant."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tolerance.intervals import wilson
from tolerance.outcomes import level
from tolerance.store import RunFolder

PROB = 0.90


@dataclass(frozen=True)
class Summary:
    """A title and a table with one row for each task, sparsifier and requested level."""

    title: str
    table: pd.DataFrame

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"title": self.title, "cells": self.table.to_dict("records")}


def summarise_run(path: Path) -> Summary:
    """Summarise a run folder.

    Raises:
        StoreError, SchemaError: the run cannot be read.
    """
    folder = RunFolder.open(path)
    outcomes = folder.read()
    rows = []
    groups = outcomes.assign(realised=level(outcomes), context_length=outcomes["context_length"].astype("object")).groupby(
        ["task_type", "task", "model", "context_length", "sparsifier", "sparsity_requested"], dropna=False
    )
    for (task_type, task, model, context, sparsifier, requested), group in groups:
        interval = wilson(float(group["score"].sum()), len(group), PROB)
        rows.append(
            {
                "task type": task_type,
                "task": task,
                "model": model,
                "context": context,
                "method": sparsifier,
                "requested": requested,
                "realised": round(float(group["realised"].mean()), 4),
                "answers": len(group),
                "accuracy": round(float(group["score"].mean()), 4),
                f"{PROB:.0%} low": round(interval.lower, 4),
                f"{PROB:.0%} high": round(interval.upper, 4),
                "unreadable": int((~group["parse_ok"].fillna(value=True)).sum()),
            }
        )
    origin = folder.manifest.origin
    return Summary(f"{path}: {len(outcomes):,} answers, {origin}, run {folder.manifest.run_id}", pd.DataFrame(rows))
