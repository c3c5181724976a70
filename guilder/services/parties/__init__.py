"""The `parties` service: people and organisations, the only home of names and addresses."""
