"""The `accounts` service: agreements with parties, their IBANs and blocks."""
