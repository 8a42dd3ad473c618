"""Stands in for Pillow."""  # noqa: N999
