"""Numbers, phrases and sentences."""
