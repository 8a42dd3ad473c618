"""How a clip falls into windows, what that costs, and which window length costs least.

A window is one run of the diffusion model over ``frame_num`` frames (4n+1). The last ``overlap`` frames of a
window condition the next, whose first ones are dropped; what goes beyond the clip is thrown away.

The cost of a diffusion step is counted in floating-point operations from the shape of the 14B model, as its
configuration has it: width 5120, feed-forward 13824, 40 layers, 769 tokens of text and picture to attend to,
and a face adapter in every fifth layer. A product with an m x n matrix takes 2mn operations a token, so there
are, for each of N tokens,

* in each layer 8 * 5120^2 for query, key, value and output of the self-attention, 4 * 5120^2 for query and
  output of the cross-attention, 4 * 769 * 5120 for that attention itself, 4 * 5120 * 13824 for the
  feed-forward, and in each adapter 4 * 5120^2 for its query and output: linear;
* in each layer 4 * 5120 * N for the self-attention's scores and sums, with all tokens: quadratic.

Left out: text encoder, face encoder and VAE. They are small beside this and grow like the linear part. None
of it was measured on a GPU; only ratios of costs are used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

UPSTREAM_FRAME_NUM: Final = 77
"""Upstream's own window length."""

_WIDTH, _FEED_FORWARD, _LAYERS, _ADAPTERS, _CONDITION_TOKENS = 5120, 13824, 40, 8, 512 + 257
_LAYER: Final = 12 * _WIDTH**2 + 4 * _CONDITION_TOKENS * _WIDTH + 4 * _WIDTH * _FEED_FORWARD
LINEAR: Final = _LAYERS * _LAYER + _ADAPTERS * 4 * _WIDTH**2
"""Operations for each token in a diffusion step."""
QUADRATIC: Final = _LAYERS * 4 * _WIDTH
"""Operations for each pair of tokens in a diffusion step."""


@dataclass(frozen=True)
class Windows:
    """The windows of a clip of ``frame_count`` frames."""

    frame_count: int
    frame_num: int
    overlap: int
    windows: int
    padded_frame_count: int
    """Length to which upstream pads the clip, by mirroring."""

    @property
    def generated_frames(self) -> int:
        """Frames that the model computes, in all windows."""
        return self.windows * self.frame_num

    @property
    def surplus_frames(self) -> int:
        """Frames that are computed and thrown away: overlaps and padding."""
        return self.generated_frames - self.frame_count


def windows_of(frame_count: int, frame_num: int, overlap: int) -> Windows:
    """Upstream's windows for a clip.

    Raises:
        ValueError: upstream could not generate it: no frame beside the overlap, or windows too short for it.
    """
    stride = frame_num - overlap
    if frame_count <= overlap:
        raise ValueError(f"of {frame_count} frames none is left beside an overlap of {overlap}")
    if stride < 1:
        raise ValueError(f"a window of {frame_num} frames is all overlap")
    count = -(-(frame_count - overlap) // stride)
    if count > 2 and stride < overlap:
        raise ValueError(f"a window of {frame_num} frames is too short for an overlap of {overlap}")
    return Windows(frame_count, frame_num, overlap, count, overlap + count * stride)


def tokens(frame_num: int, width: int, height: int) -> int:
    """Tokens of a window: 16x16 pixels each, in one latent frame for 4 frames, and two for the reference."""
    return (frame_num // 4 + 2) * (width // 16) * (height // 16)


def step_cost(token_count: int) -> int:
    """Floating-point operations of one diffusion step over one window."""
    return LINEAR * token_count + QUADRATIC * token_count**2


def clip_cost(windows: Windows, width: int, height: int) -> int:
    """Floating-point operations of one diffusion step over all windows of a clip."""
    return windows.windows * step_cost(tokens(windows.frame_num, width, height))


def lengths(shortest: int, longest: int) -> range:
    """Window lengths, 4n+1, within bounds that are such lengths themselves."""
    return range(shortest, longest + 1, 4)


def choose_frame_num(
    frame_count: int, overlap: int, width: int, height: int, *, shortest: int, longest: int, gpus: int = 1
) -> int:
    """The window length that costs least for the whole clip.

    Ties go to fewer windows (fewer seams), then to the length nearer upstream's 77. With several GPUs only
    lengths whose tokens they can share count, if there is one.

    Raises:
        ValueError: as ``windows_of``.
    """
    allowed = list(lengths(shortest, longest))
    shareable = [length for length in allowed if tokens(length, width, height) % gpus == 0]

    def rank(length: int) -> tuple[int, int, int]:
        windows = windows_of(frame_count, length, overlap)
        return clip_cost(windows, width, height), windows.windows, abs(length - UPSTREAM_FRAME_NUM)

    return min(shareable or allowed, key=rank)
