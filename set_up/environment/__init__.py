"""The Python that upstream's scripts run in, made in steps."""
