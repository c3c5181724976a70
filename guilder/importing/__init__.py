"""Bringing another bank's records in: the pure half of `guilder import`.

`mapping` says what a file's columns mean, `source` reads files into typed records, `chain` finds
the order in which printed balances follow from each other, `plan` lays out everything that is to
be sent. Nothing here talks to a service.
"""
