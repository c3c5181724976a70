"""The banking services; each stands alone behind its contract."""
