"""From cells to posterior draws."""
