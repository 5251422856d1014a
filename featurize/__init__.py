"""Floor 1: formulas and structures become descriptors, graphs and phase diagrams."""
