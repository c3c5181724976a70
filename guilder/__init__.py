"""Guilder: an open fintech platform of banking services, each replaceable per tenant."""

__version__ = "0.1.0"
