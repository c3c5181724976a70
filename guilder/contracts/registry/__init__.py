"""The `registry` contract, one module per major version."""
