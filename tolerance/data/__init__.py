"""The outcome table, the run folder, and what statistics start from: cells and items."""
