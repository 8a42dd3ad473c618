"""Start upstream's generate.py, unchanged, in an interpreter that is prepared for it.

    <upstream's python> launcher.py /path/to/generate.py --task animate-14B ...

Run by upstream's interpreter, so it imports nothing of ours. What it does first, and why:

* OpenCV before anything else: upstream loads decord first, after which OpenCV cannot decode a PNG, and a PNG
  reference then ends the run when all models have been loaded.
* TF32 for float32 matrix products: upstream does not set it.

The script's folder comes first on the import path, as if Python had been given the script itself.
"""

import runpy
import sys
from pathlib import Path


def main() -> None:
    """Prepare this interpreter and become the script named by the first argument."""
    script = Path(sys.argv[1])
    sys.argv = sys.argv[1:]
    sys.path[0] = str(script.parent)

    import cv2  # noqa: F401  # before decord: see above
    import torch  # type: ignore[import-not-found, unused-ignore]

    torch.set_float32_matmul_precision("high")
    runpy.run_path(str(script), run_name="__main__")


if __name__ == "__main__":
    main()
