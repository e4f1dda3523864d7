"""The command line: the one place that knows collecting, statistics and reports."""
