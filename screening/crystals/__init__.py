"""Candidates as crystals: parents, ionic substitution, structures for compositions."""
