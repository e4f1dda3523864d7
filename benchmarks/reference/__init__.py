"""The reference study: one model at three sizes, trained alike on our tasks, then swept (docs/reference-study.md)."""
