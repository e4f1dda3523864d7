"""Textbook statistics that know nothing of sparsity."""
