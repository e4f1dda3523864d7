"""Straightening the posterior before it is sampled: coordinates in which no direction is much stiffer than others.

What the tasks of a type share trades off against each of their curves, and the more answers there are the narrower that
ridge: coordinate by coordinate no step size fits it. Hessians at draws of the pilot say along which directions the
posterior is narrower, or wider, than its coordinates are; those are stretched. A linear map changes no posterior.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from tolerance.model.density import Design, LogDensity, log_density

Floats = NDArray[np.float64]
# How many directions are stretched at most, half of them narrow and half wide; from which factor of the curvature on,
# where 1 is that of a coordinate by itself; and how wide one may become: far out a Hessian says little.
MOST, FACTOR, WIDEST = 100, 1.25, 0.25
# At how many draws Hessians are averaged: at one of them, or at the mean, scales of effects curve the other way.
DRAWS = 8
# Finite differences are taken over this share of a standard deviation; eigenvalues need not be exact.
STEP, TOLERANCE, RESTARTS = 1e-3, 1e-2, 20
# A pilot that did not move in a coordinate must not divide by 0.
LEAST_SCALE = 1e-6


@dataclass(frozen=True)
class Preconditioner:
    """position = mean + scale * (z + directions' (squeeze * (directions z))), for orthonormal directions."""

    mean: Floats  # (size,)
    scale: Floats  # (size,)
    directions: Floats  # (direction, size)
    squeeze: Floats  # what is added to 1 along each direction (direction,)

    def log_density(self, design: Design) -> LogDensity:
        """The density in these coordinates."""
        return log_density(design, self.mean, self.scale, self.directions, self.squeeze)

    def positions(self, z: Floats) -> Floats:
        """Positions at many coordinates ``(..., size)``."""
        along = (z @ self.directions.T) * self.squeeze
        return np.asarray(self.mean + self.scale * (z + along @ self.directions))

    def coordinates(self, positions: Floats) -> Floats:
        """Coordinates of many positions ``(..., size)``."""
        z = (positions - self.mean) / self.scale
        along = (z @ self.directions.T) * (1 / (1 + self.squeeze) - 1)
        return np.asarray(z + along @ self.directions)


def straightened(design: Design, around: Floats) -> Preconditioner:
    """Coordinates for the posterior that draws ``around`` ``(draw, size)`` show roughly.

    Lanczos on products of Hessians with a vector, each two gradients: nothing grows with the square of the size.
    """
    mean, scale = around.mean(axis=0), np.maximum(around.std(axis=0), LEAST_SCALE)
    size = len(mean)
    at = around[np.linspace(0, len(around) - 1, DRAWS).astype(int)]
    density = log_density(design)

    def curved(v: Floats) -> Floats:
        step = STEP * scale * np.ravel(v)
        ahead = sum(density(draw + step)[1] for draw in at)
        behind = sum(density(draw - step)[1] for draw in at)
        return np.asarray(scale * (behind - ahead) / (2 * STEP * len(at)))

    try:
        values, vectors = eigsh(
            LinearOperator((size, size), matvec=curved, dtype=np.float64),
            k=min(MOST, size // 2),
            which="BE",
            tol=TOLERANCE,
            maxiter=RESTARTS,
            v0=np.random.default_rng(size).standard_normal(size),
        )
    except ArpackNoConvergence as found:
        values, vectors = found.eigenvalues, found.eigenvectors
    values = np.maximum(values, WIDEST)
    told = np.abs(np.log(values)) > np.log(FACTOR)
    # directions that are a little off being orthonormal would make `coordinates` a little off being the inverse
    directions = np.ascontiguousarray(np.linalg.qr(vectors[:, told])[0].T)
    return Preconditioner(mean, scale, directions, 1 / np.sqrt(values[told]) - 1)
