"""Which model saved draws are of. Draws of another version are never read as if they were of this one."""

# Raise it whenever the same answers, settings and seed would give other draws, or draws that mean something else: a
# prior or a likelihood that changed, a parameter that came or went, what log densities are kept per unit, coordinates
# in which is sampled. A new comment, name or file is no new model. tests/test_model_version.py holds it to values.
MODEL = "burr-6"
