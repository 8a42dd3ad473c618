"""Engines that are another project's whole-clip program: one small file each, and the adapter that reads it.

See docs/adding_an_engine.md. ``tool.py`` says what such a file declares.
"""
