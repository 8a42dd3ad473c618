"""Engine ``animatediff``: a clip from text alone, by AnimateDiff on diffusers, SDXL or SD 1.5. No stage 1."""
