"""Physics with universal interatomic potentials: relaxation, elasticity, hulls, glasses, diffusion."""
