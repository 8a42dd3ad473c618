"""Execution: what a Step is, running it, and knowing whether it must run. It knows no engine."""
