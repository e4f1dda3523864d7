"""Whether a fit may be believed, what is done where it may not, and what would move it."""
