"""What the preview engine's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.preview.models import fetch_models, models_folder


@pytest.fixture(scope="session")
def preview_models() -> Path:
    """Folder of the model files, fetched if they are not there yet (16 MB, once a machine)."""
    fetch_models()
    return models_folder()
