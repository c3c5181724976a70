"""The `screening` contract, one module per major version."""
