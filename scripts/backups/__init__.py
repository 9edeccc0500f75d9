"""Backup and restore: Python's standard library and PostgreSQL's own tools, so that it runs beside containers, too."""
