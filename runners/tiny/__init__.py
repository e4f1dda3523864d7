"""The small model that ships with the project: its words, its training text, its training."""
