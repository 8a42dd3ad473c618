"""The settings' values: how they are read, and which do not go together."""
