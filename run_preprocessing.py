#!/usr/bin/env python3
"""Stage 1 alone: pose, face and, in replace mode, mask and background of the driving video."""

from commands.command_line import make_command
from config import MASKING, PREPROCESSING

main = make_command(
    "run_preprocessing.py",
    stages=(PREPROCESSING, MASKING),
    help="Stage 1: take pose, face and, in replace mode, mask and background from the driving video.",
)

if __name__ == "__main__":
    main()
