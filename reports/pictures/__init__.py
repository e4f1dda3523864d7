"""Pictures of pages and figures."""
