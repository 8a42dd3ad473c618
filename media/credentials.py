"""Credentials: thin form."""


class CredentialsError(Exception):
    """Thin."""
