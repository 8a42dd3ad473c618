"""Start upstream's preprocess_data.py, unchanged, without its SAM 2: for a mask that is made afterwards.

    <upstream's python> stage1_launcher.py /path/to/preprocess_data.py --replace_flag --iterations 0 ...

In replace mode upstream loads SAM 2 and follows the person through every frame. That takes most of the time
and memory of its stage 1, and one frame in which it finds nobody ends the run when all the work is done. With
a mask of the user, none of that is needed. But pose and face cannot be taken from a run in animate mode: its
canvas is that of the reference image, and it seeks poses in frames that are not resized.

So upstream runs in replace mode, and a module of ours is put in the place of its ``sam_utils`` before it asks
for that: its predictor says at once that every pixel of every frame belongs to the mask. It reads no weights
and asks for no GPU, so this also runs with a torch that has no CUDA. Poses and faces never see a mask: their
files are the same bytes. Mask and background are upstream's too, white and black throughout, until the mask
step puts its own there.

Run by upstream's interpreter, so it imports nothing of ours. The script's folder comes first on the import
path, as if Python had been given the script itself.
"""

import runpy
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

State = tuple[int, int, int]
"""Number of frames, their height, their width."""


def main() -> None:
    """Put the predictor in place and become the script named by the first argument."""
    script = Path(sys.argv[1])
    sys.argv = sys.argv[1:]
    sys.path[0] = str(script.parent)
    sys.modules["sam_utils"] = sam_utils()
    runpy.run_path(str(script), run_name="__main__")


def sam_utils() -> ModuleType:
    """A module with the one name that upstream takes from its own ``sam_utils``."""
    module = ModuleType("sam_utils", "SAM 2's place, taken by a mask of everything.")
    module.__dict__["build_sam2_video_predictor"] = lambda *_, **__: MaskOfEverything()
    return module


class MaskOfEverything:
    """What upstream asks of SAM 2's video predictor, answered without looking at a picture."""

    def init_state_v2(self, frames: Sequence[Any]) -> State:
        """Begin with frames, each [height, width, 3]."""
        height, width = frames[0].shape[:2]
        return len(frames), height, width

    def reset_state(self, state: State) -> None:
        """Forget clicks: there are none."""

    def add_new_points(
        self, *, inference_state: State, frame_idx: int, obj_id: int, **clicks: Any
    ) -> tuple[int, list[int], Any]:
        """The frame, its objects and their masks (as in ``propagate_in_video``), whatever was clicked."""
        return frame_idx, [obj_id], _everything(inference_state)

    def propagate_in_video(self, inference_state: State) -> Iterator[tuple[int, list[int], Any]]:
        """For every frame its number, its objects (number 1) and their masks."""
        masks = _everything(inference_state)
        for number in range(inference_state[0]):
            yield number, [1], masks


def _everything(state: State) -> Any:
    """Logits of one object on the CPU, float32 [1, 1, height, width]: above 0 is the mask."""
    import torch  # type: ignore[import-not-found, unused-ignore]

    return torch.ones(1, 1, *state[1:])


if __name__ == "__main__":
    main()
