"""The `pricing` contract, one module per major version."""
