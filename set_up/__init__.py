"""From a bare machine to upstream's first result: the checkout, its Python, flash-attn, the weights."""
