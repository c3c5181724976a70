"""The `payments` contract, one module per major version."""
