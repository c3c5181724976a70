"""What each service promises: types and operations only, no I/O."""
