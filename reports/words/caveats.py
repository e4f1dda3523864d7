"""What the data cannot tell -> one sentence each."""

from tolerance.findings import Caveat, Data, NotCompared
from tolerance.reports.words import numbers, phrases

CAVEATS: dict[Caveat, str] = {
    "one model": "One model was measured: whether other models tolerate as much is not known from these data.",
    "one context length": "At most one context length is recorded: tolerance at other lengths is not known from these "
    "data.",
    "no dense baseline": "No dense baseline was measured: accuracy by level is described, and nothing is said about "
    "the share of dense accuracy that is kept.",
    "requested sparsity only": "Realised sparsity was not recorded for some answers: their level is the one that was "
    "asked for, and what was removed may have been less.",
    "chance unknown": "The chance level of some tasks was not recorded: their guessing floor is estimated from the "
    "answers, or taken as 0.",
    "published means": "Published means were fitted, not answers: which items were answered alike is not known, so "
    "pairing is lost, and intervals are wider than answers would give.",
    "items assumed": "The number of items behind some means was not published and is assumed: what follows is a "
    "sensitivity analysis, and its intervals are only as right as that number.",
    "items independent": "Answers are modelled as independent between items. The intervals are for these tasks; they "
    "do not cover the choice of tasks.",
    "items in clusters": "Some items depend on each other (they share a passage, or are the same item in several "
    "tasks): such groups, not items, are what intervals count.",
    "items left out": "Some items were not answered under all conditions of their task: they are left out, and counted "
    "under the data. Every number is over the items that all conditions share.",
    "items left out are a selection": "The items that all conditions share are not like those left out: they score "
    "differently under one and the same condition. Numbers are for the items that stay.",
    "items differ between levels": "The conditions of some tasks answered different items, so nothing is paired there: "
    "a difference between levels may be one between items.",
    "items differ between models": "Models answered different items of some tasks: a difference between models may be "
    "one between items there.",
    "tasks differ": "Not every method answered every task of a type at all of its levels: a curve is over the tasks "
    "that it names, and methods are compared over those that both have.",
    "answers not graded": "Some answers were not graded (refused, unreadable, timed out): they are left out, with the "
    "same items elsewhere, and counted under the data.",
    "the denominator matters": "Some contrasts change when answers that were not graded count as wrong: they are named "
    "beside the instant answer.",
    "plan incomplete": "The collection is not finished: what is said here is of the part of its plan that is there.",
    "conclusions need another fit": "Nothing new was concluded at equal everything: the saved draws are of another fit "
    "than this report, or of another version of the model. tolerance fit makes them anew.",
    "conclusions need other outcomes": "Nothing new was concluded at equal everything: the run holds other outcomes "
    "than this report is of. tolerance fit makes it anew, or give the run that it is of.",
}


def caveat(found: Caveat, data: Data) -> str:
    """What the data cannot tell, and why."""
    if found == "plan incomplete" and data.n_planned:
        share = phrases.percent_down(data.n_rows, data.n_planned)
        there = f"There is {share} of {numbers.count(data.n_planned)} answers"
        return f"{CAVEATS[found]} {there}; missing: {phrases.listed(data.missing)}."
    return CAVEATS[found]


def not_compared(found: NotCompared) -> str:
    """Two methods that could not be compared, and why."""
    return f"{found.treatment} and {found.reference} are not compared at equal everything: {found.reason}"
