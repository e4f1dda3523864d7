"""Sparsity of weights and of activations, and the texts that calibrate it."""
