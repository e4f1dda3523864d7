"""The report as files and in a notebook."""
