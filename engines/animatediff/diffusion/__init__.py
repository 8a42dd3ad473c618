"""What runs in the engine's own interpreter: torch and diffusers are imported here and nowhere else."""
