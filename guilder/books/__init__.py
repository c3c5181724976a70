"""Tools over the books of a whole platform, through contracts only: verify and export."""
