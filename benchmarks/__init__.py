"""Measurements, each with the command that reproduces it; figures stand in RESULTS.md."""
