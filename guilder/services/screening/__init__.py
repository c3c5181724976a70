"""The `screening` service: checks names against lists, and keeps the cases that hits become."""
