"""Programs for those who work on Guilder; not part of the platform."""
