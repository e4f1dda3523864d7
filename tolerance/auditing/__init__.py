"""A published claim, held against evidence: overall, by part, by axis, and what its average hides."""
