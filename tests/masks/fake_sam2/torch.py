"""The little of torch that the worker uses, by NumPy: first on its import path in tests."""

from __future__ import annotations

import contextlib
import os
from types import SimpleNamespace
from typing import Any

import numpy as np

float64, float32, float16, bfloat16 = np.float64, np.float32, np.float16, "bfloat16"
cuda = SimpleNamespace(is_available=lambda: "cuda" in os.environ["FAKE_SAM2"])


class Tensor(np.ndarray):
    """An array with a tensor's methods."""

    def cpu(self) -> Tensor:
        return self

    def numpy(self) -> np.ndarray:
        return np.asarray(self)

    def float(self) -> Tensor:
        return from_numpy(self.astype(np.float32))


def from_numpy(array: np.ndarray) -> Tensor:
    return array.view(Tensor)


def frombuffer(buffer: bytearray, dtype: Any, count: int, offset: int) -> Tensor:
    return np.frombuffer(buffer, dtype, count, offset).view(Tensor)


def load(path: Any, map_location: str, weights_only: bool) -> dict[str, Any]:
    assert weights_only
    return {"model": {"weight": from_numpy(np.zeros(1))}}


@contextlib.contextmanager
def inference_mode():
    MODES.append("inference")
    yield
    MODES.remove("inference")


@contextlib.contextmanager
def autocast(device: str, dtype: str):
    assert dtype == bfloat16
    MODES.append("autocast")
    yield
    MODES.remove("autocast")


MODES: list[str] = []
"""What is switched on now."""
