"""Two arms, compared at equal anything: better, worse, equivalent, undecided, or no overlap."""
