#!/usr/bin/env python3
"""From a fresh clone to a result: make .venv, install, fetch the preview models, run the main job.

    python scripts/quickstart.py                run the demo on the CPU and say where the result is
    python scripts/quickstart.py --test         run the test suite in the same environment
    python scripts/quickstart.py --test --all   install the heavy extras too and skip nothing

Standard library only; works on Linux, macOS and Windows. Running it again is safe and does only what is left.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from set_up.own_environment import ROOT, OwnEnvironmentError, check_python, install, make_environment

DEMO = ROOT / "scripts" / "demo"
RESULTS = ROOT / "quickstart_results"


def main() -> int:
    """Parse the two switches and do it; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--test", action="store_true", help="run the test suite instead of the demo")
    parser.add_argument(
        "--all", action="store_true", help="with --test: install the heavy extras, skip nothing"
    )
    arguments = parser.parse_args()
    if arguments.all and not arguments.test:
        parser.error("--all goes with --test")
    try:
        check_python()
        python = make_environment()
        if arguments.test:
            return run_tests(python, with_extras=arguments.all)
        return run_demo(python)
    except OwnEnvironmentError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted. Run the same command again to go on.", file=sys.stderr)
        return 130


def fetch_models(python: Path) -> None:
    """Fetch the preview engine's models into the user's cache, unless they are there."""
    if run(python, "scripts/fetch_preview_models.py"):
        raise OwnEnvironmentError("the preview models could not be fetched; the message stands above.")


def run_demo(python: Path) -> int:
    """The main job, replace mode, with the preview engine, on the bundled clip."""
    install(python, ["requirements.txt"])
    fetch_models(python)
    result, sheet = RESULTS / "result.mp4", RESULTS / "contact_sheet.png"
    source = RESULTS / "source"
    say("running the main job on the demo clip: replace mode, preview engine")
    driving, reference = DEMO / "driving_video.mp4", DEMO / "reference.jpg"
    job = ["--engine", "preview", "--video_path", str(driving), "--refer_path", str(reference), "--replace"]
    began = time.monotonic()
    code = run(python, "pipeline.py", *job, "--save_path", str(source), "--output_path", str(result))
    if code:
        return code
    took = time.monotonic() - began
    if code := run(python, "scripts/contact_sheet.py", str(driving), str(source), str(result), str(sheet)):
        return code
    print(f"\nDone in {took:.0f} s. The character took the actor's place:")
    print(f"  result         {result}")
    print(f"  contact sheet  {sheet}")
    print(f"  stage 1 files  {source}")
    print("\nWith your own clip:")
    print(f"  {short(python)} pipeline.py --engine preview --video_path v.mp4 --refer_path r.jpg --replace")
    return 0


def run_tests(python: Path, *, with_extras: bool) -> int:
    """The test suite; without the extras, the tests that need them are skipped with a line each."""
    install(python, ["requirements-test.txt"])
    if with_extras:
        install(python, ["requirements-test.txt", "requirements-extras.txt"])
        install(python, ["requirements-sam2.txt"], "--no-deps", "--no-build-isolation")
    fetch_models(python)
    options = ["--skip-nothing"] if with_extras else []
    return run(python, "-m", "pytest", *options)


def run(python: Path, *arguments: str) -> int:
    """Run our own code with the environment's interpreter, in the project's folder; returns its exit code."""
    return subprocess.run([str(python), *arguments], cwd=ROOT, check=False).returncode


def short(path: Path) -> str:
    """A path as one would type it from the project's folder."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def say(text: str) -> None:
    """One line about what happens now."""
    print(f"quickstart: {text} ...", flush=True)


if __name__ == "__main__":
    sys.exit(main())
