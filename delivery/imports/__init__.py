"""Imports: deliveries from CSV files, made by a worker, each row once."""
