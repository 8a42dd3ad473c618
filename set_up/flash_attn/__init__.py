"""The ready-made wheel of flash-attn 2 that fits a Python and its torch."""
