"""The command ``scripts/benchmark_model.py``: make a model, drive it, measure it, tell it."""

from __future__ import annotations

import json
from itertools import islice, repeat
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

import preprocess
from engines import source_folder
from engines.frame import making, registry, runner, tuning
from engines.frame.configuration import ConfigurationError, FrameConfiguration, read_configuration
from engines.frame.driving import driving_frames, made_up, pictures
from engines.frame.model import BaseAnimationModel, Clip, Driving, Image, ModelError
from engines.preview import stage2_media
from engines.preview.track import Track
from engines.timing import timing_of_folder

_DEMO: Final = Path(__file__).parents[2] / "scripts" / "demo" / "reference.jpg"
_FRAMES: Final = 64
"""Driving frames that are kept in memory and used over and over."""
WRONG_REQUEST, FAILED = 2, 1


class RequestError(Exception):
    """What was asked for cannot be measured."""


def benchmark(
    *,
    model: str,
    image: Path | None,
    src_root_path: Path | None,
    duration: float,
    auto_tune: bool,
    batch_sizes: str | None,
    as_json: bool,
) -> int:
    """Measure, print, and return the exit code."""
    told = Console(stderr=True, highlight=False, emoji=False)
    try:
        configuration = configuration_of(model)
        sizes = _sizes(batch_sizes, auto_tune)
        source, driving, clip = _inputs(image, src_root_path)
        with making.make_model(configuration) as made:
            _prepare(made, source, clip)
            sizes = sizes or [runner.batch_of(configuration, made.capabilities())]
            results = tuning.measure_sizes(made, driving, sizes, duration, lambda each: _tell(told, each))
            info = made.get_model_info()
    except (RequestError, ConfigurationError, preprocess.MediaError) as error:
        told.print(str(error), style="red", markup=False, soft_wrap=True)
        return WRONG_REQUEST
    except ModelError as error:
        told.print(str(error), style="red", markup=False, soft_wrap=True)
        return FAILED
    best = tuning.best(results)
    if best is None:
        told.print("No size of batches could be measured; the reasons are above.", style="red")
        return FAILED
    kept = auto_tune and bool(tuning.remember(configuration, best.batch_size))
    if as_json:
        print(json.dumps(_data(configuration, info, results, best, kept), indent=2))
    else:
        _show(configuration, info, results, best, kept)
    return 0


def configuration_of(model: str) -> FrameConfiguration:
    """The configuration of a YAML file, or of a name alone.

    Raises:
        ConfigurationError, ModelError: it is wrong, or there is no such model.
    """
    if model.endswith((".yaml", ".yml")):
        return read_configuration(Path(model).absolute(), registry.entries())
    return FrameConfiguration(model=registry.entry_of(model).name)


def _sizes(text: str | None, auto_tune: bool) -> list[int]:
    if text is None:
        return list(tuning.SIZES) if auto_tune else []
    words = text.replace(",", " ").split()
    if not words or not all(word.isdigit() and int(word) > 0 for word in words):
        raise RequestError(f"--batch-sizes must be whole numbers above 0, such as '1 2 4'; it is {text!r}.")
    return sorted({int(word) for word in words})


def _inputs(image: Path | None, folder: Path | None) -> tuple[Image, list[Driving], Clip | None]:
    """The source image, driving frames, and the clip they are of."""
    if folder is None:
        return preprocess.read_picture(image or _DEMO), made_up(_FRAMES), None
    try:
        track = Track.load(folder / source_folder.TRACK)
    except (OSError, ValueError) as error:
        raise RequestError(
            f"--src_root_path: {folder} is no folder of the preview's stage 1: {error}"
        ) from error
    pose = preprocess.probe_video(folder / source_folder.POSE)
    picture = preprocess.read_picture(image or folder / source_folder.REFERENCE)
    canvas, content, corner = stage2_media.on_canvas(picture, (pose.width, pose.height))
    timing = timing_of_folder(folder)
    frames = driving_frames(track, float(timing.rate), pictures(timing, track), repeat(None))
    return content, list(islice(frames, _FRAMES)), Clip(track, len(track), False, canvas, corner)


def _prepare(model: BaseAnimationModel, source: Image, clip: Clip | None) -> None:
    capabilities = model.capabilities()
    if capabilities.needs_clip and clip is None:
        raise RequestError("This model must see a whole clip: give --src_root_path, a folder of stage 1.")
    model.set_source_image(source)
    if clip is not None and capabilities.needs_clip:
        model.prepare_clip(clip)
    model.reset()


def _tell(console: Console, result: tuning.Measured | tuning.Skipped) -> None:
    if isinstance(result, tuning.Skipped):
        console.print(f"batch {result.batch_size}: skipped, {result.why}")
    else:
        console.print(f"batch {result.batch_size}: {result.frames_per_second:.1f} frames a second")


def _data(
    configuration: FrameConfiguration,
    info: dict[str, object],
    results: list[tuning.Measured | tuning.Skipped],
    best: tuning.Measured,
    kept: bool,
) -> dict[str, object]:
    return {
        "model": {**info, "name": configuration.model},
        "measured": [each.as_data() for each in results if isinstance(each, tuning.Measured)],
        "skipped": {str(each.batch_size): each.why for each in results if isinstance(each, tuning.Skipped)},
        "best_batch_size": best.batch_size,
        "kept_for_auto": kept,
    }


def _show(
    configuration: FrameConfiguration,
    info: dict[str, object],
    results: list[tuning.Measured | tuning.Skipped],
    best: tuning.Measured,
    kept: bool,
) -> None:
    console = Console(highlight=False, emoji=False)
    on = f" on {info['provider']}" if "provider" in info else ""
    table = Table(
        "batch", "frames/s", "latency, median", "95th percentile", "memory", title=configuration.model + on
    )
    for each in results:
        if isinstance(each, tuning.Measured):
            table.add_row(
                str(each.batch_size),
                f"{each.frames_per_second:.1f}",
                f"{each.latency_median * 1000:.1f} ms",
                f"{each.latency_p95 * 1000:.1f} ms",
                f"{each.memory_bytes / 2**20:.0f} MiB",
            )
    console.print(table)
    after = "; 'batch_size: auto' takes it from now on" if kept else ""
    console.print(f"best batch: {best.batch_size}{after}")
