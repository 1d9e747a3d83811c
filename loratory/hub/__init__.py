"""Weights and the places they come from; no torch."""
