"""Stand-in for upstream's stage 1: the same options, checks, output lines and files; no networks.

The modes of misbehaviour are listed in standin_faults.py.
"""

import sys

modules_at_start = [name for name in sys.modules if "." not in name]

import argparse  # noqa: E402  the list above must be taken first
import os  # noqa: E402
from pathlib import Path  # noqa: E402

sys.path.append(str(Path(__file__).resolve().parents[4]))  # where the stand-in's own helpers are

from process_pipepline import ProcessPipeline  # noqa: E402  a neighbour, by its bare name, as upstream
from standin_support import record_start  # noqa: E402


def parse_arguments() -> argparse.Namespace:
    """Upstream's options, in upstream's order (the order shows in the first line printed)."""
    parser = argparse.ArgumentParser(description="Stand-in for the preprocessing of Wan-Animate.")
    for name in ("ckpt_path", "video_path", "refer_path", "save_path"):
        parser.add_argument(f"--{name}", type=str, default=None)
    parser.add_argument("--resolution_area", type=int, nargs=2, default=[1280, 720])
    parser.add_argument("--fps", type=int, default=30)
    for name in ("replace_flag", "retarget_flag", "use_flux"):
        parser.add_argument(f"--{name}", action="store_true", default=False)
    for name, default in (("iterations", 3), ("k", 7), ("w_len", 1), ("h_len", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    record_start("preprocess", modules_at_start)
    print(vars(arguments))
    assert len(arguments.resolution_area) == 2
    if arguments.use_flux and not arguments.retarget_flag:
        raise AssertionError("Image editing with FLUX can only be used when pose retargeting is enabled.")
    checkpoint = arguments.ckpt_path
    pipeline = ProcessPipeline(
        pose=os.path.join(checkpoint, "pose2d/vitpose_h_wholebody.onnx"),  # noqa: PTH118  None must be a TypeError
        detector=os.path.join(checkpoint, "det/yolov10m.onnx"),  # noqa: PTH118
        sam=os.path.join(checkpoint, "sam2/sam2_hiera_large.pt") if arguments.replace_flag else None,  # noqa: PTH118
        flux=os.path.join(checkpoint, "FLUX.1-Kontext-dev") if arguments.use_flux else None,  # noqa: PTH118
    )
    os.makedirs(arguments.save_path, exist_ok=True)  # noqa: PTH103
    pipeline.run(arguments)


if __name__ == "__main__":
    main()
