#!/usr/bin/env python3
"""Both stages: a driving video and a reference image in, the finished video out."""

from commands.command_line import make_command
from config import FINISHING, GENERATION, MASKING, PREPROCESSING

main = make_command(
    "pipeline.py",
    stages=(PREPROCESSING, MASKING, GENERATION, FINISHING),
    help="Make a character video: stage 1 (preprocessing), then stage 2 (generation). "
    "Running the same command again is safe and finishes the rest.",
)

if __name__ == "__main__":
    main()
