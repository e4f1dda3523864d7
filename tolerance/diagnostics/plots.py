"""Plots of a fit's draws for a page's appendix, drawn by ArviZ: traces, ranks, predictions, left-out cells.

They are for who wants to see what the checks judged. They need matplotlib: ``pip install 'sparsity-tolerance[plots]'``.
"""

import base64
import io
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from tolerance.diagnostics.posterior_predictive import Predictive
from tolerance.errors import DesignError
from tolerance.findings import Plot
from tolerance.inference.saved import Fit
from tolerance.model.log_likelihood import by_cell

Floats = NDArray[np.float64]
# So many parameters are drawn: those that mixed worst.
PARAMETERS = 6
COLUMNS = 3
DPI, COLOURS = 80, 48
TOP = ("dense_mean", "loc_mean", "shape_mean", "tail")


def plots(fit: Fit) -> list[Plot]:
    """Every plot of the appendix.

    Raises:
        DesignError: matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise DesignError("plots need matplotlib: pip install 'sparsity-tolerance[plots]'.") from error
    # nothing is shown while it is drawn; backend and figures of the user stay as they are
    with plt.ioff(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(_plots(fit))


def _plots(fit: Fit) -> Iterator[Plot]:
    import arviz as az

    worst = _worst(fit)
    yield Plot(
        name="Traces",
        about=f"Draws, chain by chain, of {', '.join(worst)}: those top-level parameters whose R-hat is largest. "
        "Chains of one posterior wander over the same band and do not drift.",
        png=_drawn(az.plot_trace, fit.draws, (12, 5), var_names=worst, col_wrap=COLUMNS),
    )
    yield Plot(
        name="Ranks",
        about="Ranks of each chain's draws among all, as the difference of their distribution to an even one, with the "
        "p of a test that they are even (Vehtari et al. 2021, Bayesian Anal. 16:667). A small p: chains differ.",
        png=_drawn(az.plot_rank, fit.draws, (12, 5), var_names=worst, col_wrap=COLUMNS),
    )
    yield Plot(
        name="Predictions",
        about="Accuracy of every task, method and level, as a distribution over them: observed (dark), and predicted "
        "for new answers (50 draws).",
        png=_drawn(az.plot_ppc_dist, _predicted(fit), (6, 3), kind="ecdf"),
    )
    yield Plot(
        name="Left-out cells",
        about="Where each cell lies in its prediction from the other cells (LOO-PIT by importance sampling), as the "
        "difference to an even distribution, with the p of a test that it is even. A high Pareto k counts, too.",
        png=_drawn(az.plot_loo_pit, _left_out(fit), (6, 3)),
    )


def _worst(fit: Fit) -> list[str]:
    """Top-level parameters with the largest R-hat, in the order of the model."""
    import arviz as az

    posterior = fit.draws["posterior"].to_dataset()
    names = [name for name in posterior if name in TOP or str(name).startswith("sd_")]
    rhat = az.rhat(posterior[names])
    kept = sorted(names, key=lambda name: -float(rhat[name]))[:PARAMETERS]
    return [str(name) for name in names if name in kept]


def _predicted(fit: Fit) -> xr.DataTree:
    """Observed accuracy of each group of cells, and what new answers would be."""
    observed, new = Predictive(fit).accuracies()
    return _tree({"accuracy": observed}, {"accuracy": new[None]})


def _left_out(fit: Fit) -> xr.DataTree:
    """Cells as standardised residuals given the other cells: observed ones are 0, predicted ones normal around them."""
    densities, z = by_cell(fit.cells, fit.blocks, fit.variable("fitted"), fit.variable("sd_departure"))
    sizes = fit.draws["posterior"].sizes
    shape = (sizes["chain"], sizes["draw"], -1)
    predicted = np.random.default_rng(fit.seed).standard_normal(z.shape) - z
    tree = _tree({"answer": np.zeros(z.shape[1])}, {"answer": predicted.reshape(shape)})
    likelihood = xr.Dataset({"answer": (("chain", "draw", "cell"), densities.reshape(shape))})
    return tree.assign(log_likelihood=xr.DataTree(likelihood), posterior=fit.draws["posterior"])


def _tree(observed: dict[str, Floats], predicted: dict[str, Floats]) -> xr.DataTree:
    return xr.DataTree.from_dict(
        {
            "observed_data": xr.Dataset({name: ("cell", values) for name, values in observed.items()}),
            "posterior_predictive": xr.Dataset(
                {name: (("chain", "draw", "cell"), values) for name, values in predicted.items()}
            ),
        }
    )


def _drawn(plot: Callable[..., Any], tree: xr.DataTree, inches: tuple[float, float], **settings: object) -> str:
    """A plot of ArviZ as a PNG of few colours, in base64."""
    import matplotlib.pyplot as plt
    from PIL import Image

    wide = io.BytesIO()
    collection = plot(tree, backend="matplotlib", figure_kwargs={"figsize": inches}, **settings)
    figure = collection.get_viz("figure")
    figure.set_layout_engine("constrained")
    figure.savefig(wide, format="png", dpi=DPI)
    plt.close(figure)
    small = io.BytesIO()
    Image.open(wide).convert("RGB").quantize(COLOURS).save(small, format="png", optimize=True)
    return base64.b64encode(small.getvalue()).decode()
