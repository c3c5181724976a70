"""The `pricing` service: fees and the tariffs they come from."""
