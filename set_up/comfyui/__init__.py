"""What a ComfyUI installation already has of the weights."""
