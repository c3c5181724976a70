"""The `notifications` service: what people are told."""
