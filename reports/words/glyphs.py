"""Words that a page gives a glyph and colours: verdicts, labels, checks. A word looks the same wherever it stands."""

from dataclasses import dataclass

GLYPHS = {
    "held": "●",
    "varies": "↔",
    "not recorded": "○",
    "decided": "●",
    "undecided": "◐",
    "out of range": "→",
    "withheld": "✕",
    "unanswerable": "✕",
    "equivalent": "≈",
    "passed": "✓",
    "failed": "✕",
    "as predicted": "✓",
    "unlike": "✕",
    "not felt": "✓",
    "prior-data conflict": "▲",
    "strong prior": "▲",
    "compared": "●",
    "better": "▲",
    "worse": "▼",
    "no overlap": "∅",
    "unavailable": "○",
    "robust": "●",
    "axis-dependent": "⇅",
    "fragile": "◑",
    "untestable": "○",
    "supported": "●",
    "supported only for": "◑",
    "contradicted": "✕",
    "not identifiable": "○",
    "holds": "●",
    "fails": "✕",
    "no item counts": "○",
    "same": "●",
    "depends": "⇅",
    "one value": "○",
}


@dataclass(frozen=True)
class State:
    """A word with its glyph, and a name for its colours."""

    word: str
    glyph: str
    name: str


def state(word: str) -> State:
    """The glyph and colours of a word."""
    return State(word, GLYPHS[word], word.replace(" ", "-"))
