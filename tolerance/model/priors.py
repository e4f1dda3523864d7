"""Every prior of the tolerance model in one place, with its reason.

Scales (``sd_*``) are log-normal: (median, sd of the log). That keeps them away from 0, where a hierarchical model's
funnel has its neck. What a curve does beside what it shares with others may be next to nothing or large: those scales
have a log-sd of about 1, 95% within a factor of 7 on either side of the median, so that answers can say that curves are
alike (1.2 brings divergent transitions). Halvings of the density are the unit of locations: log 1.5 = 0.4 is a sparsity
of 0.65.
"""

from dataclasses import dataclass

Normal = tuple[float, float]
LogNormal = tuple[float, float]


@dataclass(frozen=True)
class Priors:
    """Means and sds of normals; medians and log-sds of scales."""

    # Dense accuracy above the floor, logit: 0.82 at the centre, 0.18 to 0.99 within two sds.
    dense: Normal = (1.5, 1.5)
    sd_dense_type: float = 0.7
    sd_dense_task: LogNormal = (0.7, 0.5)
    sd_dense_config: LogNormal = (0.3, 0.6)
    # What models and context lengths have in common over tasks, and what a task and a model have over context lengths.
    sd_dense_shift: LogNormal = (0.3, 0.6)
    sd_dense_task_model: LogNormal = (0.2, 0.7)
    slope_dense: float = 0.5
    # Location: log halvings at which 60% is left. The grand mean is a sparsity of 0.25 to 0.9995, prob 0.9.
    loc: Normal = (0.75, 1.0)
    sd_loc_type: float = 0.5
    sd_loc_sparsifier: LogNormal = (0.5, 0.5)
    sd_loc_task: LogNormal = (0.3, 0.6)
    sd_loc_sparsifier_type: LogNormal = (0.15, 0.8)
    sd_loc_curve: LogNormal = (0.07, 1.0)
    sd_loc_config: LogNormal = (0.1, 0.9)
    slope_loc: float = 0.25
    # Models break in other places under other methods: a factor of 1.2 of halvings, 1.0 to 3 within two sds. Thin data
    # leave them near nothing.
    sd_loc_sparsifier_model: LogNormal = (0.15, 0.9)
    sd_loc_sparsifier_context: LogNormal = (0.1, 0.9)
    sd_loc_sparsifier_params: LogNormal = (0.1, 0.8)
    sd_loc_sparsifier_length: LogNormal = (0.1, 0.8)
    sd_loc_type_model: LogNormal = (0.1, 0.9)
    sd_loc_type_context: LogNormal = (0.1, 0.9)
    sd_loc_task_model: LogNormal = (0.15, 0.6)
    # Log shape: 0.8 loses from 90% to 50% kept within a factor 2.3 of halvings (Weibull); cliffs lie three sds up.
    shape: Normal = (0.8, 0.5)
    sd_shape_type: float = 0.3
    sd_shape_sparsifier: LogNormal = (0.1, 0.9)
    sd_shape_task: LogNormal = (0.1, 0.9)
    sd_shape_curve: LogNormal = (0.07, 1.0)
    sd_shape_model: LogNormal = (0.1, 0.9)
    sd_shape_context: LogNormal = (0.1, 0.9)
    sd_shape_sparsifier_model: LogNormal = (0.1, 0.9)
    # Tail nu, log: between nearly Weibull (0.1) and beyond log-logistic (2).
    log_tail: Normal = (-0.92, 0.8)
    # Floor: the rule's guessing rate moved by half a logit. A broken model often does worse or better than guessing.
    sd_floor: float = 0.5
    # Departure of one curve from the family after one halving, in logits of accuracy (and in logs of its location).
    sd_departure: LogNormal = (0.1, 0.7)
    # The same, shared by the tasks of a type under one sparsifier: what a wrong family would look like.
    sd_departure_type: LogNormal = (0.07, 1.0)
    # What they share under one configuration beside: the same where models bend in ways of their own.
    sd_departure_config: LogNormal = (0.1, 0.8)


PRIORS = Priors()

# Where chains pass too seldom between a scale of next to nothing and a large one, as with many methods on two tasks:
# higher medians, up to three times, and 95% within a factor of 2.7 to 4. Calibrated as well (docs/calibration.md).
NARROW: dict[str, LogNormal] = {
    "sd_loc_sparsifier_type": (0.2, 0.6),
    "sd_loc_curve": (0.2, 0.6),
    "sd_loc_config": (0.15, 0.6),
    "sd_shape_sparsifier": (0.25, 0.5),
    "sd_shape_task": (0.25, 0.5),
    "sd_shape_curve": (0.2, 0.5),
    "sd_departure": (0.2, 0.7),
    "sd_departure_type": (0.15, 0.7),
    "sd_departure_config": (0.15, 0.7),
    "sd_loc_sparsifier_model": (0.2, 0.6),
    "sd_loc_sparsifier_context": (0.15, 0.6),
    "sd_loc_type_model": (0.15, 0.6),
    "sd_loc_type_context": (0.15, 0.6),
    "sd_shape_model": (0.2, 0.5),
    "sd_shape_context": (0.2, 0.5),
    "sd_shape_sparsifier_model": (0.2, 0.5),
}
