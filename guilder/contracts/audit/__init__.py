"""The `audit` contract, one module per major version."""
