#!/usr/bin/env python3
"""Stage 2 alone: the video, from a folder that stage 1 made."""

from commands.command_line import make_command
from config import FINISHING, GENERATION

main = make_command(
    "run_generation.py",
    stages=(GENERATION, FINISHING),
    help="Stage 2: generate the video from a folder that stage 1 made.",
)

if __name__ == "__main__":
    main()
