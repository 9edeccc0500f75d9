"""Signing in: passwords, sessions, access tokens and address verification."""
