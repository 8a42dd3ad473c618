"""Print, as one line of JSON, what the Python that runs this has for frame models: standard library alone.

``missing``: modules of Understudy that it cannot find. ``models``: its packages' entry points, by name.
"""

from __future__ import annotations

import json
from importlib.metadata import entry_points
from importlib.util import find_spec

_NEEDED = ("av", "cv2", "numpy", "scipy", "yaml")


def main() -> None:
    """Look, and print."""
    models = {
        point.name: "a package" if point.dist is None else f"{point.dist.name} {point.dist.version}"
        for point in entry_points(group="understudy.frame_models")
    }
    missing = [name for name in _NEEDED if find_spec(name) is None]
    print(json.dumps({"missing": missing, "models": models}))


if __name__ == "__main__":
    main()
