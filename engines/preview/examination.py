"""What the preview engine needs, thing by thing: it runs on the CPU, in our own Python."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator

from config import Job
from engines.interface import Examined
from engines.preview import models
from engines.preview.check import INSTALL, LIBRARIES_MISSING, installation_findings


def examine(job: Job) -> Iterator[Examined]:
    """Its libraries and its models."""
    found = list(installation_findings())
    libraries = tuple(finding for finding in found if finding.code == LIBRARIES_MISSING.code)
    missing = tuple(finding for finding in found if finding not in libraries)
    fine = f"Python {platform.python_version()}, {sys.executable}"
    yield Examined(area="libraries", fine=fine, findings=libraries, mend=INSTALL)
    command = models.REMEDY.removeprefix("Run: ")
    yield Examined(area="models", fine=str(models.models_folder()), findings=missing, mend=command)
