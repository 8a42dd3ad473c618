"""The mask step of a Job: clicks, a box or a finished mask become mask and background of stage 1's folder.

It stands between the stages of every engine, and is a command of its own (``scripts/build_mask.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from config import MASKING, NO_PATH, Job
from engines import our_code, source_folder, verification
from engines.findings import Finding
from engines.interface import Examined, Prediction
from execution.history import Work
from execution.record import HIDDEN_FOLDER, is_current, read_record
from execution.step import Step, StepFailed, StepRun

if TYPE_CHECKING:
    from masks.store import Mask

PREVIEW, SHEET = "mask_preview.mp4", "mask_contact_sheet.png"
ORIGINALS: Final = {f"original_{name}": name for name in source_folder.REPLACE_ONLY}
"""What stage 1 itself had made of mask and background, kept until stage 2 is done."""
RECORD: Final = f"{HIDDEN_FOLDER}/mask.json"
LEFTOVERS: Final = (PREVIEW, SHEET, RECORD, *ORIGINALS)
"""What no longer belongs into the folder when stage 1 makes a mask of its own."""


_MASK_OF_STAGE_1: Final = ("iterations", "k", "w_len", "h_len")
"""Settings of the mask that stage 1 makes itself."""


class MaskStep:
    """The mask step alone, in the place of an engine."""

    name = "mask"
    uses_gpu = True

    def check(self, job: Job) -> Sequence[Finding]:
        """See :class:`engines.interface.Engine`."""
        from engines.mask_check import findings

        return list(findings(job))

    def examine(self, job: Job) -> Iterable[Examined]:
        """See :class:`engines.interface.Engine`."""
        from engines.mask_check import examine

        return examine(job)

    def predict(self, job: Job) -> Prediction | None:
        """See :class:`engines.interface.Engine`."""
        import preprocess

        try:
            pose = preprocess.probe_video(job.src_root_path / source_folder.POSE)
        except (preprocess.MediaError, OSError):
            return None
        return Prediction(width=pose.width, height=pose.height, frames=pose.frame_count)

    def plan(self, job: Job) -> Iterable[Step]:
        """See :class:`engines.interface.Engine`."""
        return mask_steps(job)

    def describe(self, job: Job) -> Mapping[str, Any]:
        """See :class:`engines.interface.Engine`."""
        return {}

    def workload(self, job: Job, predicted: Prediction) -> Mapping[str, Work]:
        """See :class:`engines.interface.Engine`."""
        return {}

    def relief(self, job: Job, cause: str) -> tuple[Job, str] | None:
        """See :class:`engines.interface.Engine`."""
        return None


MASK_STEP: Final = MaskStep()


def leftovers(job: Job) -> tuple[Path, ...]:
    """Files of the mask step that no longer belong into the folder when stage 1 makes a mask of its own."""
    return tuple(job.save_path / name for name in LEFTOVERS)


def originals(job: Job) -> tuple[Path, ...]:
    """What stage 1 itself had made of mask and background: of no use when stage 2 is done."""
    return tuple(job.src_root_path / name for name in ORIGINALS)


def stage_1_for_own_mask(whole: Step, without_mask: Step) -> Step:
    """Stage 1's step of a job whose mask the mask step makes.

    Args:
        whole: the step as it is without a mask step. Where it has run already it need not run again.
        without_mask: the step that makes no mask, or none that counts.
    """
    has_run = replace(whole, outputs=_without_mask(whole.outputs))
    if is_current(has_run):
        return has_run
    given = without_mask.settings
    kept = {name: value for name, value in given.items() if name not in _MASK_OF_STAGE_1}
    return replace(
        without_mask,
        outputs=_without_mask(without_mask.outputs),
        obsolete=(*without_mask.obsolete, *(whole.folder / name for name in source_folder.REPLACE_ONLY)),
        settings={**kept, "own_mask": True},
        verify=partial(verification.verify_source, replace=False, exact_background=False),
    )


def _without_mask(outputs: Iterable[Path]) -> tuple[Path, ...]:
    return tuple(path for path in outputs if path.name not in source_folder.REPLACE_ONLY)


def mask_steps(job: Job) -> Iterator[Step]:
    """The mask step, if the job asks for one."""
    if not job.has_own_mask:
        return
    from engines.mask_sources import segmenter_of

    folder = job.src_root_path
    inputs = {"driving video": _sampled_video(job), "pose video": folder / source_folder.POSE}
    if job.mask_points != NO_PATH:
        inputs["points"] = job.mask_points
    if job.mask_video != NO_PATH:
        inputs["mask video"] = job.mask_video
    choice = segmenter_of(job)
    settings = {**job.shaping_values(MASKING), "segmenter": choice.name}
    told: dict[str, Any] = {}
    yield Step(
        name="mask",
        stage=MASKING,
        title=f"The mask, {choice.title}",
        engine="mask",
        folder=folder,
        inputs=inputs,
        outputs=tuple(folder / name for name in (*_names(), *_originals(folder))),
        settings=settings,
        function=partial(_build, job, told),
        code=our_code.MASKING,
        weights=choice.weights,
        gpus=choice.gpus,
        verify=partial(_verify, folder / source_folder.POSE),
        facts=lambda log: told,
    )


def _names() -> tuple[str, ...]:
    return (*source_folder.REPLACE_ONLY, PREVIEW, SHEET)


def _originals(folder: Path) -> tuple[str, ...]:
    """Names under which what stage 1 made is kept, unless this step has replaced it before."""
    there = all((folder / name).is_file() for name in source_folder.REPLACE_ONLY)
    return tuple(ORIGINALS) if there and not read_record(folder / RECORD) else ()


def _sampled_video(job: Job) -> Path:
    from engines.mask_sources import sampled_video

    return sampled_video(job)


def _build(job: Job, told: dict[str, Any], run: StepRun) -> None:
    import shutil

    import preprocess
    from engines import mask_sources
    from masks.errors import MaskError
    from masks.files import write_mask_files

    folder = job.src_root_path
    try:
        clip, rate = mask_sources.clip_of(job)
        with mask_sources.masks_of(job, clip, run) as found:
            finished = (_finished(job, mask) for mask in found.masks)
            report = write_mask_files(clip, finished, run.folder, rate, run.report, found.objects)
        told.update(mask_sources.facts_of(found, report))
        for name in _originals(folder):
            shutil.copyfile(folder / ORIGINALS[name], run.folder / name)
    except (preprocess.MediaError, MaskError) as error:
        raise StepFailed(str(error)) from error


def _finished(job: Job, mask: Mask) -> Mask:
    from masks import operations

    grown = operations.grow(mask, job.mask_grow, square=job.mask_square)
    if job.mask_blockify_version == "2025-09":
        return operations.blockify_2025_09(grown, job.mask_blockify)
    return operations.blockify(grown, job.mask_blockify)


def _verify(pose: Path, folder: Path) -> None:
    import preprocess
    from masks.errors import MaskError
    from masks.files import check_mask_files

    try:
        check_mask_files(folder, pose)
        preprocess.check_video(folder / PREVIEW)
        preprocess.read_picture(folder / SHEET)
    except (preprocess.MediaError, MaskError) as error:
        raise StepFailed(str(error)) from error
