"""Media beyond frames: traits, clean copies, sound, labels, the finish."""
