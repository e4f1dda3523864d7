"""A package of somebody else's: one thing of each kind, about twenty lines each, out of public names alone."""
