"""Scaffolds: small editions in several languages that run and pass the suite, to begin from."""
