"""Stand-in for torch.distributed; only `run` is there."""
