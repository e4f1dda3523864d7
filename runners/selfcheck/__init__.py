"""Every model is held against its own dense answers before a sweep."""
