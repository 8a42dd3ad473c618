"""Look: thin form."""
