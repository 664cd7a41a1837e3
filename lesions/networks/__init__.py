"""Architectures, their initial weights, and model files."""
