"""The mask step: its operations against scipy's, and the whole step against decoding and encoding alone."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

import preprocess
from benchmarks.row import ROOT, Row
from masks import files
from masks.clip import Clip
from masks.operations import blockify, grow
from masks.store import Mask

GOLDEN = ROOT / "tests" / "data" / "golden" / "mask_ops"
PERSON = "19_video_1280x720.npz"
"""Masks of a person who moves, as a segmenter found them."""
FRAMES = 81
RADIUS, BLOCK = 10, 32
WIDTH, HEIGHT = 1280, 720
DRIVING = (1920, 1080)
RATE = Fraction(30)
ROUNDS = 3
PLUS = ndimage.generate_binary_structure(2, 1)

Float = NDArray[np.float32]


def rows() -> Iterator[Row]:
    """Both bounds; each pair is timed by turns in one process."""
    masks = person_masks()
    yield operations(masks)
    yield whole_step(masks)


def operations(masks: Sequence[Mask]) -> Row:
    """Grow 10 and blockify 32 on 81 frames of 1280x720, against the same by ten float32 grey dilations.

    Raises:
        RuntimeError: the two differ in any pixel.
    """
    soft = [mask.astype(np.float32) for mask in masks]

    def ours() -> Iterator[Mask]:
        return (blockify(grow(mask, RADIUS), BLOCK) for mask in masks)

    def by_scipy() -> Iterator[Float]:
        return (node_blockify(node_grow(mask)) for mask in soft)

    if not all(np.array_equal(one, other) for one, other in zip(ours(), by_scipy(), strict=True)):
        raise RuntimeError("grow and blockify differ from the same by scipy")
    pairs = [(timed(lambda: exhaust(by_scipy())), timed(lambda: exhaust(ours()))) for _ in range(ROUNDS)]
    slow, fast = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
    text = f"{slow / fast:.0f}x ({fast / FRAMES * 1000:.2f} ms a frame)"
    return Row("grow 10 and blockify 32, faster than by scipy", text, ">= 40x", slow / fast >= 40)


def whole_step(masks: Sequence[Mask]) -> Row:
    """The whole step but the segmenter against decoding the video and encoding the two files alone.

    The step takes a 1920x1080 driving video and given masks: it decodes, resizes, grows, blockifies, draws,
    and encodes mask, background, preview and contact sheet. What it is held against decodes the same video
    and encodes the same pictures of mask and background, which it finds in memory, in the same codings. Both
    encode in one thread beside the one that reads.

    Raises:
        RuntimeError: mask or background is not the same file, byte for byte.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_driving(folder / "driving.mp4")
        clip = Clip(folder / "driving.mp4", tuple(range(FRAMES)), WIDTH, HEIGHT)
        final = [blockify(grow(mask, RADIUS), BLOCK) for mask in masks]
        grounds = [frame * (1 - mask)[:, :, None] for frame, mask in zip(clip.frames(), final, strict=True)]
        pictures = list(zip([mask * 255 for mask in final], grounds, strict=True))

        def step() -> None:
            finished = (blockify(grow(mask, RADIUS), BLOCK) for mask in masks)
            files.write_mask_files(clip, finished, folder, RATE, lambda *_: None)

        def bare() -> None:
            decode_and_encode(clip.video, pictures, folder)

        pairs = [(timed(bare), timed(step)) for _ in range(ROUNDS)]
        for one, other in ((files.MASK, "mask.mp4"), (files.BACKGROUND, "bg.mp4")):
            if (folder / one).read_bytes() != (folder / other).read_bytes():
                raise RuntimeError(f"{one} is not the file that was encoded alone")
    alone, whole = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
    text = f"{whole / alone:.2f}x ({whole / FRAMES * 1000:.0f} ms a frame)"
    what = "mask step without segmenter, against its decoding and encoding"
    return Row(what, text, "<= 2.5x", whole <= 2.5 * alone)


def timed(work: Callable[[], object]) -> float:
    """Seconds that it took."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def exhaust(masks: Iterator[object]) -> None:
    """Make them all, one at a time as the step does, and keep none."""
    for _ in masks:
        pass


def person_masks() -> list[Mask]:
    """81 masks of 1280x720, uint8 0 or 1: those of the golden data over and over."""
    index = json.loads((GOLDEN / "index.json").read_text())
    shape = next(file["shape"] for file in index["files"] if file["file"] == PERSON)
    with np.load(GOLDEN / PERSON, allow_pickle=False) as arrays:
        masks = np.unpackbits(arrays["input"], count=int(np.prod(shape))).reshape(shape)
    return [masks[number % len(masks)] for number in range(FRAMES)]


def node_grow(mask: Float) -> Float:
    """As GrowMask does it: a 3 x 3 grey dilation for every pixel of the radius, float32, the whole frame."""
    for _ in range(RADIUS):
        mask = ndimage.grey_dilation(mask, footprint=PLUS)
    return mask


def node_blockify(mask: Float) -> Float:
    """As BlockifyMask does it: the cell of every pixel of the box, the cells' sums, and a look-up."""
    is_set = mask > 0
    filled = np.zeros_like(mask)
    rows, columns = (np.flatnonzero(is_set.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return filled
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    inside = mask[box]
    (down, cell_y), (across, cell_x) = (cell_numbers(side) for side in inside.shape)
    cells = cell_y[:, None] * across + cell_x[None, :]
    sums = np.bincount(cells.ravel(), weights=inside.ravel(), minlength=down * across)
    filled[box] = sums[cells] > 0
    return filled


def cell_numbers(side: int) -> tuple[int, NDArray[np.intp]]:
    """How many cells a side of the box has, and in which of them each of its pixels lies."""
    count = max(1, side // BLOCK)
    return count, np.minimum(np.arange(side) // (side // count), count - 1)


def decode_and_encode(video: Path, pictures: Sequence[tuple[Mask, preprocess.Image]], folder: Path) -> None:
    """Decode a video and, in a second thread, encode as many pictures of mask and background."""
    shape = (WIDTH, HEIGHT, RATE)
    with (
        preprocess.VideoWriter(folder / "mask.mp4", *shape, **files.MASK_CODING) as mask,
        preprocess.VideoWriter(folder / "bg.mp4", *shape, **files.BACKGROUND_CODING) as background,
        ThreadPoolExecutor(1) as encoder,
    ):

        def encode(pair: tuple[Mask, preprocess.Image]) -> None:
            mask.write(pair[0])
            background.write(pair[1])

        encoding = None
        for _, pair in zip(preprocess.read_frames(video), pictures, strict=True):
            if encoding is not None:
                encoding.result()
            encoding = encoder.submit(encode, pair)


def write_driving(path: Path) -> None:
    """A moving texture with grain at 1920x1080."""
    random = np.random.default_rng(3)
    width, height = DRIVING
    coarse = random.integers(0, 255, (height // 40, (width + 4 * FRAMES) // 40 + 1, 3), np.uint8)
    texture = cv2.resize(coarse, None, fx=40, fy=40)
    with preprocess.VideoWriter(path, width, height, RATE, preset="ultrafast") as writer:
        for number in range(FRAMES):
            grain = random.integers(0, 4, (height, width, 1), np.uint8)
            writer.write(texture[:height, 4 * number : 4 * number + width] // 2 + grain)
