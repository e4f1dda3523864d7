"""From a plan to a run folder."""
