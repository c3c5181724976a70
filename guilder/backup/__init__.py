"""Backup and restore of the embedded databases: base backups, a log archived all the time, and the
vault apart from the data (docs/operate/backup.md, decision 0007).
"""
