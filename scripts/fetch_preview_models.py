"""Fetch the preview engine's four model files (16 MB) into the cache folder; safe to run again.

    python scripts/fetch_preview_models.py [--wheel FILE]

Needs only the standard library and pip. With --wheel the files are taken from a mediapipe 0.10.21 wheel that
is already here (for machines without a network).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engines.preview.models import ModelsMissing, fetch_models, models_folder


def main() -> int:
    """Exit code: 0 all four files are there and right, 1 they are not."""
    parser = argparse.ArgumentParser(description="Fetch the preview engine's model files.")
    parser.add_argument("--wheel", type=Path, help="take them from this mediapipe 0.10.21 wheel")
    arguments = parser.parse_args()
    try:
        written = fetch_models(wheel=arguments.wheel, report=print)
    except ModelsMissing as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{'fetched' if written else 'already there'}: the preview models in {models_folder()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
