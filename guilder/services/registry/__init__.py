"""The `registry` service: the tenants, and which edition serves whom."""
