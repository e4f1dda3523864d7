"""From draws to the quantities that are reported: curves, thresholds, contrasts, rankings, budgets."""
