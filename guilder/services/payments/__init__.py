"""The `payments` service: orders to move money."""
