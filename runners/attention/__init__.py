"""Attention that keeps what a sparsifier keeps, and its cache."""
