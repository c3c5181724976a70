"""The `access` contract, one module per major version."""
