"""Stands in for the sam2 package: same calls, same rules, but it finds things by their colour."""
