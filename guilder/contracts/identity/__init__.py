"""The `identity` contract, one module per major version."""
