"""The `access` service: roles, decisions on them, and four eyes."""
