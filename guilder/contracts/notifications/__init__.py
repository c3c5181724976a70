"""The `notifications` contract, one module per major version."""
