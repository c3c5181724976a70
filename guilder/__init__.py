"""Guilder: an open fintech platform of banking services, each replaceable per tenant."""
