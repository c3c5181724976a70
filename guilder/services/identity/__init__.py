"""The `identity` service: people, machine clients, tokens and the keys that sign them."""
