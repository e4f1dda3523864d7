"""Speed of the runner, against the loop that one would write first."""
