"""The `accounts` contract, one module per major version."""
