"""Tables of more rows than memory holds: read in batches, and kept as cells and items."""
