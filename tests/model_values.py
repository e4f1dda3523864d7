"""Values of the model on fixed answers at fixed positions, which `tolerance.model.version.MODEL` stands for.

uv run python -m tests.model_values    # after raising MODEL: the table anew
"""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from tests.simulated import outcomes
from tolerance import validate
from tolerance.data.cells import Cells, collapse
from tolerance.data.published import validate_aggregates
from tolerance.inference.draws import tree
from tolerance.inference.preconditioning import Preconditioner, straightened
from tolerance.inference.warmup import final_blocks, plug_in
from tolerance.model import covariance, density
from tolerance.model.parameters import Parameters
from tolerance.model.priors import PRIORS
from tolerance.model.transform import meaning
from tolerance.model.version import MODEL

TABLE = Path(__file__).parent / "model_values.json"
# Rounding differs between machines; eigenvectors stop at a hundredth.
TOLERANCES = {"straightened": 0.05}
USUAL = 1e-5


def answers() -> pd.DataFrame:
    """Two models, two methods, three types of task, one of which can be guessed, and graded scores in another."""
    parts = [outcomes(n_items=20, levels=(0.5, 0.8, 0.95), seed=n).assign(model=f"m{n}", params=n) for n in (1, 9)]
    frame = pd.concat(parts, ignore_index=True)
    partly = np.where(frame["task"] == "chain", 0.8 * frame["score"] + 0.1, frame["score"])
    return frame.assign(chance=np.where(frame["task"] == "look-up", 0.25, 0.0), score=partly)


def means() -> pd.DataFrame:
    """The same, published as means."""
    by = ["task", "task_type", "model", "params", "sparsifier", "unit", "sparsity_requested", "chance"]
    return answers().groupby(by).agg(score=("score", "mean"), n_items=("score", "size")).reset_index()


def designs() -> dict[str, tuple[Cells, str]]:
    paired, apart = collapse(validate(answers())), collapse(validate_aggregates(means()))
    likelihoods = ("paired", "over-dispersed", "independent")
    return {f"answers, {one}": (paired, one) for one in likelihoods} | {"means, paired": (apart, "paired")}


def wave(size: int, step: float) -> np.ndarray:
    """Numbers between -1 and 1 that are no pattern of any model's."""
    return np.sin(step * np.arange(1, size + 1) ** 1.3)


def told(values: object) -> list[float]:
    """An array by two numbers that change when any of its values, or their order, does."""
    flat = np.ravel(np.asarray(values, dtype=np.float64))
    return [float(flat.mean()), float(flat @ wave(flat.size, 0.7))]


def values(cells: Cells, likelihood: str) -> dict[str, list[float]]:
    """Density and gradient, what is kept of draws, and the coordinates that are sampled in."""
    parameters = Parameters(cells, PRIORS)
    observed = (cells.right + 0.5) / (cells.n + 1)
    plain = covariance.independent(cells)
    first = density.design(
        parameters, covariance.blocks(cells, observed, plain, covariance.departures(cells, observed))
    )
    positions = np.stack([parameters.centre() + 0.3 * wave(parameters.size, 0.1 + 0.01 * k) for k in range(24)])
    blocks = final_blocks(cells, likelihood, *plug_in(parameters, meaning(positions, parameters, first)))
    design = density.design(parameters, blocks)
    at = density.log_density(design)
    found = {}
    for k, position in enumerate(positions[:3]):
        value, gradient = at(position)
        found |= {f"log density {k}": [float(value)], f"gradient {k}": told(gradient)}
    kept = tree(parameters, design, blocks, positions[None, :3], xr.Dataset(), 0)
    for group in kept.subtree:
        for name, variable in group.ds.data_vars.items():
            found[f"{group.path}/{name} {', '.join(map(str, variable.dims))}"] = told(variable)
    stretched = straightened(design, positions)
    found["straightened"] = [float(len(stretched.squeeze)), float(np.log1p(stretched.squeeze).sum())]
    found["coordinates"] = told(_coordinates(parameters.size, positions))
    return found


def _coordinates(size: int, positions: np.ndarray) -> np.ndarray:
    direction = wave(size, 0.3) / np.linalg.norm(wave(size, 0.3))
    scale = 1 + 0.5 * wave(size, 0.2)
    return Preconditioner(np.ones(size), scale, direction[None], np.array([0.7])).coordinates(positions)


def table() -> dict[str, dict[str, list[float]]]:
    return {name: values(cells, likelihood) for name, (cells, likelihood) in designs().items()}


def differing(now: dict, before: dict) -> list[str]:
    """What came, went, or has other values."""
    found = []
    for design in sorted(now.keys() | before.keys()):
        one, other = now.get(design, {}), before.get(design, {})
        for name in sorted(one.keys() | other.keys()):
            near = TOLERANCES.get(name, USUAL)
            if name not in one or name not in other or not np.allclose(one[name], other[name], rtol=near, atol=near):
                found.append(f"{design}: {name}")
    return found


if __name__ == "__main__":
    made = table()
    if TABLE.exists():
        old = json.loads(TABLE.read_text())
        if old["model"] == MODEL and differing(made, old["values"]):
            sys.exit(f"values differ but the model is still {MODEL}. Raise MODEL in tolerance/model/version.py first.")
    text = json.dumps({"model": MODEL, "values": made}, indent=1)
    TABLE.write_text(re.sub(r"\[\s+([^\[\]]*?)\s+\]", lambda m: f"[{' '.join(m[1].split())}]", text) + "\n")
