"""The `ledger` service: the books."""
