"""The weights: from a hub to their place, verified."""
