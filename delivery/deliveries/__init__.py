"""Deliveries: their data, their states and their history."""
