"""Run a tool's command in a folder of its own, and bring what it made to its place. Standard library only.

    python run_tool.py --take FROM TO ... --write TO TEXT ... --find PATTERN --bring TO [--need PATTERN ...]
                       [--sweep PATTERN ...] -- COMMAND ...

In all words ``{run}`` is that folder, and ``{token}`` a word that no other run has. The tools name their
results by the minute, write beside their inputs, and pass names through a shell: so they are given copies
under plain names, and only a file that was not there before counts as theirs. Exit code 0 of a tool says
nothing: several report success without a result.
"""

from __future__ import annotations

import argparse
import glob
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

NO_RESULT = 70
"""Exit code when the command ended well and left nothing."""
_PLAIN = re.compile(r"[\w./+-]+", re.ASCII)


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code, or NO_RESULT."""
    split = argv.index("--")
    options, command = _parser().parse_args(argv[:split]), argv[split + 1 :]
    target = Path(options.bring)
    with _run_folder(target.parent) as run:
        names = {"{run}": str(run), "{token}": run.name}
        for source, place in options.take:
            Path(_filled(place, names)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, _filled(place, names))
        for place, text in options.write:
            Path(_filled(place, names)).write_text(_filled(text, names), encoding="utf-8")
        try:
            code = subprocess.run([_filled(word, names) for word in command], check=False).returncode
            return code or _bring(options, names, target)
        finally:
            _sweep([_filled(pattern, names) for pattern in options.sweep])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("--take", nargs=2, action="append", default=[])
    parser.add_argument("--write", nargs=2, action="append", default=[])
    parser.add_argument("--find", required=True)
    parser.add_argument("--bring", required=True)
    parser.add_argument("--need", action="append", default=[])
    parser.add_argument("--sweep", action="append", default=[])
    return parser


@contextmanager
def _run_folder(near: Path) -> Iterator[Path]:
    """Near the result, where nothing of it survives a kill, unless a shell would misread that path."""
    plain = _PLAIN.fullmatch(str(near)) is not None
    run = (near if plain else Path(tempfile.gettempdir())) / f"u{secrets.token_hex(5)}"
    run.mkdir()
    try:
        yield run
    finally:
        shutil.rmtree(run, ignore_errors=True)


def _filled(word: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        word = word.replace(name, value)
    return word


def _bring(options: argparse.Namespace, names: dict[str, str], target: Path) -> int:
    for pattern in (*options.need, options.find):
        pattern = _filled(pattern, names)
        found = sorted((path for path in glob.glob(pattern)), key=lambda path: (len(path), path))  # noqa: PTH207
        if not found:
            print(f"understudy: the command ended with exit code 0, but left no {pattern}", file=sys.stderr)
            return NO_RESULT
    shutil.move(found[0], target)
    return 0


def _sweep(patterns: Sequence[str]) -> None:
    for pattern in patterns:
        for path in map(Path, glob.glob(pattern)):  # noqa: PTH207
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
            try:
                path.parent.rmdir()
            except OSError:
                continue  # it holds what other runs made


def _end(number: int, frame: FrameType | None) -> None:
    """Leave by way of the clean-up."""
    sys.exit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    sys.exit(main(sys.argv[1:]))
