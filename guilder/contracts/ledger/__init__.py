"""The `ledger` contract, one module per major version."""
