"""Stand-in for torch: only the setting that generation's launcher makes, and `torch.distributed.run`."""

__version__ = "0+standin"

_precision = "highest"


def set_float32_matmul_precision(precision: str) -> None:
    """Keep the setting (`highest` is torch's own default; `high` allows TF32)."""
    global _precision
    if precision not in ("highest", "high", "medium"):
        raise ValueError(f"invalid precision {precision!r}")
    _precision = precision


def get_float32_matmul_precision() -> str:
    """The setting in force."""
    return _precision
