"""A laboratory's own measurements: read and checked, kept in versions, compared with what is known."""
