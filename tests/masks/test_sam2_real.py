"""The worker with the real torch and sam2: the tiny model with random weights, at image size 256.

Its masks are noise, so what is asked is what holds of any weights: every frame of every object is answered
for, whatever the pieces; and what goes in is what sam2's own loader would have made of it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from masks.clip import Clip
from masks.errors import MaskError
from masks.prompts import Box, MaskObject, Point, Prompt
from masks.sam2_checkpoint import recognise_checkpoint
from masks.sam2_segmenter import Sam2Segmenter
from masks.store import MaskStore

pytestmark = [pytest.mark.needs("torch"), pytest.mark.needs("sam2")]

FRAMES, WIDTH, HEIGHT = 14, 192, 128
MAKE = """
import sys, torch
from sam2.build_sam import build_sam2_video_predictor
torch.manual_seed(1)
model = build_sam2_video_predictor(sys.argv[1], None, device="cpu")
# Whether it sees the object at all is one number: without weights that were learnt it would say no.
with torch.no_grad():
    model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(10.0)
    model.sam_mask_decoder.output_hypernetworks_mlps[0].layers[-1].bias.fill_(0.5)
torch.save({"model": model.state_dict()}, sys.argv[2])
"""


class Noise(Clip):
    """A clip of noise that moves."""

    picture = np.random.default_rng(4).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)

    def frames(self, first=0, end=None):
        return (np.roll(self.picture, 2 * number, axis=1) for number in self.numbers[first:end])

    def frames_backwards(self, first=0, end=None):
        return (np.roll(self.picture, 2 * number, axis=1) for number in self.numbers[first:end][::-1])


NOISE = Noise(Path("made up"), tuple(range(FRAMES)), WIDTH, HEIGHT)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """The suite's other processes want the cores too; torch's threads would wait for each other, spinning."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("sam2") / "sam2.1_hiera_tiny.pt"
    command = [sys.executable, "-W", "ignore", "-c", MAKE, "configs/sam2.1/sam2.1_hiera_t.yaml", str(path)]
    subprocess.run(command, check=True, cwd=path.parent)
    return path


class Counted(MaskStore):
    """Remembers which frames it was given, and how much was set."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, FRAMES, WIDTH, HEIGHT)
        self.given: list[tuple[int, bool]] = []
        self.area = 0

    def add(self, frame, mask, *, excluded=False):
        self.given.append((frame, excluded))
        self.area += int(mask.sum())
        super().add(frame, mask, excluded=excluded)


@pytest.mark.parametrize("piece", [5, pytest.param(240, marks=pytest.mark.long)])
def test_every_frame_of_two_objects_is_answered_for_once(checkpoint, tmp_path, piece):
    person = MaskObject(
        "person",
        (
            Prompt(4, (Point(60, 50), Point(20, 20, positive=False)), Box(30, 20, 120, 110)),
            Prompt(8, (Point(60, 50, positive=False),)),
            Prompt(11, (Point(80, 60),)),
        ),
    )
    other = MaskObject("other", (Prompt(7, box=Box(100, 10, 180, 100)),), excluded=True)
    store = Counted(tmp_path / "masks")
    segmenter = Sam2Segmenter(Path(sys.executable), checkpoint, image_size=256, piece=piece)
    segmenter.segment(NOISE, [person, other], store, lambda *_: None)
    expected = [(frame, excluded) for frame in range(FRAMES) for excluded in (False, True)]
    assert sorted(store.given) == expected
    assert store.area > 0


def test_a_checkpoint_that_lacks_a_tensor_is_named(checkpoint, tmp_path):
    lacking = tmp_path / "lacking.pt"
    script = (
        "import sys, torch; file = torch.load(sys.argv[1], weights_only=True)\n"
        "del file['model']['no_mem_embed']; torch.save(file, sys.argv[2])"
    )
    subprocess.run([sys.executable, "-c", script, str(checkpoint), str(lacking)], check=True)
    segmenter = Sam2Segmenter(Path(sys.executable), lacking, image_size=256)
    thing = MaskObject("person", (Prompt(4, (Point(60, 50),)),))
    with pytest.raises(MaskError, match="no_mem_embed") as caught:
        segmenter.segment(NOISE, [thing], Counted(tmp_path / "masks"), lambda *_: None)
    assert caught.value.code == "mask.checkpoint-not-sam2"


def test_what_torch_saves_is_recognised_and_half_precision_safetensors_give_the_same_tensors(
    checkpoint, tmp_path
):
    model = recognise_checkpoint(checkpoint)
    assert (model.version, model.size, model.notice) == ("2.1", "tiny", None)
    script = (
        "import json, struct, sys, torch; from pathlib import Path\n"
        "from masks.sam2_tracker import read_tensors\n"
        "tensors = {name: value.half() for name, value in read_tensors(Path(sys.argv[1])).items()}\n"
        "header, data = {}, bytearray()\n"
        "for name, value in tensors.items():\n"
        "    begin = len(data); data += value.numpy().tobytes()\n"
        "    places = [begin, len(data)]\n"
        "    header[name] = {'dtype': 'F16', 'shape': list(value.shape), 'data_offsets': places}\n"
        "text = json.dumps(header).encode()\n"
        "Path(sys.argv[2]).write_bytes(struct.pack('<Q', len(text)) + text + data)\n"
        "again = read_tensors(Path(sys.argv[2]))\n"
        "assert list(again) == list(tensors)\n"
        "assert all(again[name].dtype == torch.float32 for name in again)\n"
        "assert all(torch.equal(again[name], tensors[name].float()) for name in again)\n"
    )
    halved = tmp_path / "sam2.1_hiera_tiny-fp16.safetensors"
    project = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", script, str(checkpoint), str(halved)], check=True, cwd=project)
    model = recognise_checkpoint(halved)
    assert (model.version, model.size, model.notice) == ("2.1", "tiny", None)


def test_frames_become_what_sam2_s_own_loader_makes_of_them(tmp_path):
    script = (
        "import sys, numpy, torch; from PIL import Image; from pathlib import Path\n"
        "from masks.sam2_tracker import Frames\n"
        "from sam2.utils import misc\n"
        "picture = numpy.random.default_rng(2).integers(0, 256, (90, 160, 3), numpy.uint8)\n"
        "Image.fromarray(picture).save(sys.argv[1] + '/0.jpg', quality=95)\n"
        "read = numpy.array(Image.open(sys.argv[1] + '/0.jpg'))\n"
        "theirs, height, width = misc.load_video_frames(sys.argv[1], 256, True)\n"
        "ours = Frames(256); ours.append(read.tobytes(), 160, 90)\n"
        "assert (ours.height, ours.width, len(ours)) == (height, width, len(theirs))\n"
        "assert ours[0].dtype == theirs.dtype and torch.equal(ours[0], theirs[0])\n"
    )
    project = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, cwd=project)
