"""The hierarchical model of tolerance curves: parameters, priors, density, and its PyMC oracle."""
