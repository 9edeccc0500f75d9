"""Accounts: who people are and which role they have."""
