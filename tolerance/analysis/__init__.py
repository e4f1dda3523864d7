"""Outcomes -> fit -> checks -> findings: the orchestrator, and what it saves."""
