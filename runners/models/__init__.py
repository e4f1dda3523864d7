"""Language models: found, fetched, loaded."""
