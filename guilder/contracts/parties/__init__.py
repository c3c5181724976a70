"""The `parties` contract, one module per major version."""
