"""The study of SmolLM2."""
