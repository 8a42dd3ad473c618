"""What is known of a person: joints, face, hands and mask in every frame of a clip (or in one picture)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
Image = NDArray[np.uint8]

MASK_SIDE = 256

_ARRAYS = ("body", "face", "face_score", "hands", "hand_score", "mask_transforms", "person_score")


class PersonNotFound(Exception):
    """No person was found in any frame. The message says cause and remedy."""


@dataclass(frozen=True, eq=False)
class Track:
    """One person over T frames of `width` x `height` pixels; a picture is a Track with T = 1.

    Coordinates are pixels of the frame as float32: x right, y down, (0, 0) the centre of the first pixel; z
    in pixels too, smaller = nearer to the camera (body: 0 at the hips; hand: 0 at the wrist).

    body             [T, 33, 4]  BlazePose order; x, y, z, confidence 0..1 (0 outside the frame). Where the
                                 person is lost: between the frames before and after, with confidence 0.
    face             [T, 468, 3] face mesh; NaN where face_score is 0
    face_score       [T]         0 = no face found
    hands            [T, 2, 21, 3] person's left, right; NaN where hand_score is 0
    hand_score       [T, 2]      0 = not found
    masks            T PNGs, 256x256 grey: soft person mask in the crop; empty where the person is lost
    mask_transforms  [T, 2, 3]   affine, crop pixels -> frame pixels
    person_score     [T]         0 = person lost
    """

    width: int
    height: int
    body: FloatArray
    face: FloatArray
    face_score: FloatArray
    hands: FloatArray
    hand_score: FloatArray
    masks: tuple[bytes, ...]
    mask_transforms: FloatArray
    person_score: FloatArray

    def __len__(self) -> int:
        return len(self.masks)

    def mask(self, index: int) -> Image:
        """Soft person mask of frame `index` as uint8 [height, width]: 255 = surely the person."""
        png = self.masks[index]
        if not png:
            return np.zeros((self.height, self.width), np.uint8)
        crop = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
        if crop is None:
            raise ValueError(f"the mask of frame {index} is not a readable PNG; run stage 1 again")
        size = (self.width, self.height)
        warped = cv2.warpAffine(crop, self.mask_transforms[index], size, flags=cv2.INTER_LINEAR)
        return np.asarray(warped, np.uint8)

    def save(self, path: Path) -> None:
        """Write the Track as .npz (no pickles inside)."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        arrays["size"] = np.array([self.width, self.height], np.int32)
        arrays["mask_bytes"] = np.frombuffer(b"".join(self.masks), np.uint8)
        arrays["mask_lengths"] = np.array([len(png) for png in self.masks], np.int64)
        with path.open("wb") as stream:
            np.savez(stream, **arrays)

    @classmethod
    def load(cls, path: Path) -> Track:
        """Read what save() wrote. Raises ValueError naming the file if it is not a whole Track."""
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as data:
                arrays = {name: np.asarray(data[name], np.float32) for name in _ARRAYS}
                width, height = (int(value) for value in data["size"])
                joined, lengths = data["mask_bytes"].tobytes(), data["mask_lengths"]
        except (KeyError, ValueError, EOFError, BadZipFile) as error:
            raise ValueError(f"{path} is not a track file: {error}. Run stage 1 again.") from error
        ends = np.cumsum(lengths)
        masks = tuple(joined[end - length : end] for end, length in zip(ends, lengths, strict=True))
        return cls(width=width, height=height, masks=masks, **arrays)
