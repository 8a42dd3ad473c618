"""LivePortrait's command: switches without values, base names, whole rates, a .pkl by the way."""

import argparse
from pathlib import Path

import standin_tool as tool


class Parser(argparse.ArgumentParser):
    """Takes hyphens for underscores, as tyro does."""

    def parse_known_args(self, args=None, namespace=None):
        import sys

        words = sys.argv[1:] if args is None else args
        return super().parse_known_args(
            [w.replace("_", "-") if w.startswith("--") else w for w in words], namespace
        )


parser = Parser(allow_abbrev=False)
parser.add_argument("-s", "--source", required=True)
parser.add_argument("-d", "--driving", required=True)
parser.add_argument("-o", "--output-dir", default="animations/")
switches = (
    "use-half-precision crop-driving-video force-cpu normalize-lip eye-retargeting lip-retargeting stitching "
    "relative-motion pasteback do-crop do-rot do-torch-compile source-video-eye-retargeting"
)
for name in switches.split():
    parser.add_argument(f"--flag-{name}", action=argparse.BooleanOptionalAction)
parser.add_argument("--driving-option", choices=("expression-friendly", "pose-friendly"))
parser.add_argument("--animation-region", choices=("all", "exp", "pose", "lip", "eyes"))
for name in ("driving-multiplier", "scale", "det-thresh", "vx-ratio", "vy-ratio"):
    parser.add_argument(f"--{name}", type=float)
parser.add_argument("--device-id", type=int)
given = parser.parse_args()
tool.record(given=vars(given))
print("Load appearance_feature_extractor done.")
if tool.FAULT == "no_face":
    raise Exception("No face detected in the source image!")
tool.strike()
frames, rate = tool.read(given.driving)
Path(given.driving).with_suffix(".pkl").write_bytes(b"template")
print("Making motion templates...")
print("Animating...")
width, height = tool.size_of(given.source)
made = [tool.shown(number, width, height) for number in range(len(frames))]
out = Path(given.output_dir) / f"{Path(given.source).stem}--{Path(given.driving).stem}.mp4"
tool.write(out, made, int(rate))
tool.write(out.with_name(f"{out.stem}_concat.mp4"), made, int(rate), is_result=False)
print(f"Animated video: {out}")
