"""The answer without a model: what the answers show at once."""
