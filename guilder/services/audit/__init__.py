"""The `audit` service: who did what."""
