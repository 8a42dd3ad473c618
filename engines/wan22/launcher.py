"""Start upstream's generate.py, unchanged, in an interpreter that is prepared for it.

    <upstream's python> launcher.py /path/to/generate.py --task animate-14B ...

Run by upstream's interpreter, so it imports nothing of ours. What it does first, and why:

* OpenCV before anything else: upstream loads decord first, after which OpenCV cannot decode a PNG, and a PNG
  reference then ends the run when all models have been loaded.
* TF32 for float32 matrix products: upstream does not set it.
* The prompt: upstream's script reads it, but does not hand it to the model, whose class takes it.

The script's folder comes first on the import path, as if Python had been given the script itself.
"""

import argparse
import functools
import inspect
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def main() -> None:
    """Prepare this interpreter and become the script named by the first argument."""
    script = Path(sys.argv[1])
    sys.argv = sys.argv[1:]
    sys.path[0] = str(script.parent)

    import cv2  # noqa: F401  # before decord: see above
    import torch  # type: ignore[import-not-found, unused-ignore]

    torch.set_float32_matmul_precision("high")
    if prompt := prompt_of(sys.argv[1:]):
        pass_on(prompt)
    runpy.run_path(str(script), run_name="__main__")


def prompt_of(arguments: Sequence[str]) -> str | None:
    """The text after ``--prompt`` (or ``--prompt=``), as the script's own parser reads it."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--prompt")
    text: str | None = parser.parse_known_args(arguments)[0].prompt
    return text


def pass_on(prompt: str) -> None:
    """Make every generation of the model use this prompt.

    Raises:
        RuntimeError: this checkout's model does not take one, so that the flag would do nothing.
    """
    import wan  # type: ignore[import-not-found, unused-ignore]

    generate = wan.WanAnimate.generate
    if "input_prompt" not in inspect.signature(generate).parameters:
        raise RuntimeError("--prompt: this checkout's model takes no prompt. Leave the flag out.")

    @functools.wraps(generate)
    def generate_with_prompt(*arguments: Any, **named: Any) -> Any:
        return generate(*arguments, **{"input_prompt": prompt, **named})

    wan.WanAnimate.generate = generate_with_prompt


if __name__ == "__main__":
    main()
