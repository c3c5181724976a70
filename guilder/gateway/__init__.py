"""The steps of a public request, one file per step."""
