"""The `vault` contract, one module per major version."""
