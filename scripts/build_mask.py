#!/usr/bin/env python3
"""The mask step alone: make the mask and the background of stage 1's folder anew, as often as you like.

python scripts/build_mask.py --src_root_path process_results --points points.json
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from commands.command_line import make_command
from config import MASKING

main = make_command(
    "build_mask.py",
    stages=(MASKING,),
    help="Make mask and background of a folder of stage 1 anew: by clicks, a box, or a finished mask.",
)

if __name__ == "__main__":
    main()
