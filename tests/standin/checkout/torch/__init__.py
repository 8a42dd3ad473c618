"""Stand-in for torch: the setting that generation's launcher makes, as much of tensors as masks need, and
`torch.distributed.run`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

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


class Tensor:
    """An array on the CPU."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __getitem__(self, place: int) -> Tensor:
        return Tensor(self.array[place])

    def __gt__(self, bound: float) -> Tensor:
        return Tensor(self.array > bound)

    def cpu(self) -> Tensor:
        return self

    def numpy(self) -> np.ndarray:
        return self.array


def from_numpy(array: np.ndarray) -> Tensor:
    """The array as a tensor."""
    return Tensor(array)


def ones(*shape: int) -> Tensor:
    """float32, 1 everywhere."""
    import numpy as np

    return Tensor(np.ones(shape, np.float32))
