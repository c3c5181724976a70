"""The `vault` service: keys of data subjects."""
