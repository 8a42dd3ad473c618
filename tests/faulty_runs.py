"""Runs of the drivers with a stand-in that misbehaves at random, judged without the help of what is judged.

    python -m tests.faulty_runs FOLDER SEED ...

Prints one line of JSON for each run: its seed, what was asked for, and what was wrong with the way it ended
(``violations``, empty as it should be). A seed always makes the same run. The drivers run inside this
process, the stand-in's stages as processes of their own.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import av
import numpy as np

from tests.standin import standin_environment
from tests.standin.world import standin_faults
from tests.workplace import Workplace, make_workplace

_STANDIN = standin_faults()
ENDLESS = _STANDIN["ENDS"] - {"killed"}
HARMLESS = _STANDIN["HARMLESS"] - {"slow"}
ONLY_REPLACE = {
    "mask_empty", "mask_full", "background_not_black", "background_late", "empty_mask", "thin_mask",
    "wrong_canvas",  # in animate mode one file alone has the canvas: there is nothing that it disagrees with
}  # fmt: skip
FAULTS = {stage: sorted(modes - ENDLESS - {"slow"}) for stage, modes in _STANDIN["FAULTS"].items()}
DRIVERS = ("pipeline.py", "run_preprocessing.py", "run_generation.py")
STAGES = {"pipeline.py": ("preprocess", "generate"), "run_preprocessing.py": ("preprocess",),
          "run_generation.py": ("generate",)}  # fmt: skip
SOURCE, RESULT = "process_results", "result.mp4"
RUN = Path("run")
"""The folder of each run's outputs; what was there before is laid out in it."""


@dataclass
class Plan:
    """What one seed asks for."""

    seed: int
    driver: str = ""
    replace: bool = False
    ranks: int = 1
    before: str = ""
    """What lies at the outputs' names: "nothing", or the outputs of a good run of the same mode."""
    flags: list[str] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)

    @property
    def must_fail(self) -> bool:
        """Whether a fault that does harm in this mode strikes in a stage that runs."""
        harmful = [
            fault
            for stage, fault in self.faults.items()
            if stage in STAGES[self.driver]
            and fault not in HARMLESS
            and (self.replace or fault not in ONLY_REPLACE)
        ]
        return bool(harmful)


def make_plan(seed: int) -> Plan:
    """The run of that seed."""
    chance = random.Random(seed)
    plan = Plan(seed, driver=chance.choice(DRIVERS), replace=chance.random() < 0.5)
    alone = plan.driver == "run_generation.py"
    plan.before = "a good run" if alone or chance.random() < 0.6 else "nothing"
    plan.ranks = 2 if "generate" in STAGES[plan.driver] and chance.random() < 0.15 else 1
    plan.flags = _flags(plan, chance)
    if chance.random() < 0.85:
        for stage in STAGES[plan.driver]:
            if chance.random() < (0.55 if len(STAGES[plan.driver]) > 1 else 1.0):
                plan.faults[stage] = chance.choice(FAULTS[stage])
    return plan


def _flags(plan: Plan, chance: random.Random) -> list[str]:
    flags = ["--force", "--replace"] if plan.replace else ["--force"]
    if plan.driver != "run_generation.py":
        flags += [
            "--video_path",
            Workplace.video,
            "--refer_path",
            Workplace.picture,
            "--resolution",
            "160x96",
        ]
        flags += [
            "--save_path",
            str(RUN / SOURCE),
            *chance.choice([[], ["--fps", "source"], ["--fps", "24"]]),
        ]
    else:
        flags += ["--src_root_path", str(RUN / SOURCE)]
    if plan.driver != "run_preprocessing.py":
        flags += ["--output_path", str(RUN / RESULT), "--seed", str(chance.randrange(1000))]
        flags += chance.choice([[], ["--sample_steps", "2"], ["--prompt", "- a dance"], ["--no_audio"]])
        flags += chance.choice([[], ["--refert_num", "5"], ["--frame_num", "77"], ["--side_by_side"]])
        if chance.random() < 0.1:
            flags += ["--on_oom", "retry"]
        if plan.ranks > 1:
            flags += ["--multi_gpu", "--nproc_per_node", str(plan.ranks)]
    return flags


# ------------------------------------------------------------------------------------------------- running


class Stage:
    """A workplace with the outputs of one good run in each mode, to lay out again and again."""

    def __init__(self, folder: Path) -> None:
        self.place = make_workplace(folder)
        os.chdir(self.place.folder)
        os.environ["UNDERSTUDY_CACHE"] = str(folder / "cache")
        os.environ["PYTHONPATH"] = standin_environment(self.place / "Wan2.2")["PYTHONPATH"]
        for replace in (False, True):
            plan = Plan(0, driver="pipeline.py", replace=replace)
            done = self.place.invoke(plan.driver, *_flags(plan, random.Random(0)))
            if done.exit_code != 0:
                raise RuntimeError(f"a run without a fault failed:\n{done.output}")
            RUN.rename(self._good(replace))

    def _good(self, replace: bool) -> Path:
        return Path("good_replace" if replace else "good_animate")

    def perform(self, plan: Plan) -> list[str]:
        """Run it; what was wrong with how it ended."""
        shutil.rmtree(RUN, ignore_errors=True)
        if plan.before == "nothing":
            RUN.mkdir()
        else:
            shutil.copytree(self._good(plan.replace), RUN)
        before = _contents()
        os.environ["STANDIN_FAULT"] = ",".join(f"{stage}:{mode}" for stage, mode in plan.faults.items())
        done = self.place.invoke(plan.driver, *plan.flags)
        del os.environ["STANDIN_FAULT"]
        found = list(_told_badly(plan, done.exit_code, done.output, done.exception))
        found += _left_wrong(plan, done.exit_code == 0, before)
        if found:
            found.append(done.output[-2000:])
        return found


def _told_badly(plan: Plan, code: int, output: str, exception: BaseException | None) -> list[str]:
    found = []
    if code not in (0, 1):
        found.append(f"exit code {code}")
    if (code == 0) == plan.must_fail:
        found.append(f"exit code {code} though it {'must' if plan.must_fail else 'cannot'} fail")
    if exception is not None and not isinstance(exception, SystemExit):
        found.append(f"an exception came through: {exception!r}")
    if re.search(r"^Traceback", output, re.MULTILINE):
        found.append("a traceback was shown")
    if code and "error: " not in output:
        found.append("nothing says why it failed")
    return found


def _left_wrong(plan: Plan, succeeded: bool, before: dict[str, str]) -> list[str]:
    found = []
    after = _contents()
    if list(Path.cwd().rglob("scratch@*")):
        found.append("a scratch folder was left")
    if succeeded:
        if "generate" in STAGES[plan.driver]:
            found += result_faults(RUN / RESULT, RUN / SOURCE / "src_pose.mp4")
        return found + source_faults(RUN / SOURCE, replace=plan.replace)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    if any(name.startswith(RESULT.partition(".")[0]) for name in changed):
        found.append(f"it failed, and touched {sorted(changed)}")
    if changed:
        # Stage 1 was done and stage 2 failed: then its files are the new ones, all of them, and whole.
        found += source_faults(RUN / SOURCE, replace=plan.replace)
        if plan.driver != "pipeline.py":
            found.append(f"it failed, and touched {sorted(changed)}")
    return found


def _contents() -> dict[str, str]:
    """What people see of the outputs: every file but the hidden ones, with the hash of its content."""
    return {
        str(path.relative_to(RUN)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in RUN.rglob("*")
        if path.is_file() and ".understudy" not in path.parts
    }


# ------------------------------------------------------------------------------------------------- judging


def _decode(path: Path) -> np.ndarray:
    """Every frame as grey, [frames, height, width] uint8."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    return np.stack(frames)


def source_faults(folder: Path, *, replace: bool) -> list[str]:
    """What is wrong with stage 1's files."""
    names = ["src_pose.mp4", "src_face.mp4", *(["src_bg.mp4", "src_mask.mp4"] if replace else [])]
    if not (folder / "src_ref.png").is_file():
        return ["there is no src_ref.png"]
    try:
        videos = {name: _decode(folder / name) for name in names}
    except (OSError, ValueError) as error:
        return [f"stage 1's files do not decode: {error}"]
    found = []
    pose = videos["src_pose.mp4"].shape
    for name, video in videos.items():
        if video.shape != ((pose[0], 512, 512) if name == "src_face.mp4" else pose):
            found.append(f"{name} is {video.shape}")
    if replace and not found:
        masked = videos["src_mask.mp4"] > 127
        if not masked.any() or masked.all():
            found.append("the mask is empty or everywhere")
        elif np.median(videos["src_bg.mp4"][masked]) > 8 or (videos["src_bg.mp4"][masked] > 64).mean() > 0.05:
            found.append("the background is not black under the mask")
    return found


def result_faults(result: Path, pose: Path) -> list[str]:
    """What is wrong with a result."""
    if not result.is_file():
        return ["success, and no result"]
    try:
        made, expected = _decode(result), _decode(pose)
    except (OSError, ValueError) as error:
        return [f"the result does not decode: {error}"]
    if made.shape != expected.shape:
        return [f"the result is {made.shape}, the pose video {expected.shape}"]
    if (made.reshape(len(made), -1).max(axis=1) <= 32).mean() > 0.5:
        return ["the result is black"]
    if np.abs(made.astype(int) - made[0]).max() <= 8:
        return ["the result is frozen"]
    return []


def main() -> None:
    """Perform the runs of the seeds that the command line names."""
    folder, *seeds = sys.argv[1:]
    stage = Stage(Path(folder).resolve())
    for seed in map(int, seeds):
        plan = make_plan(seed)
        report = {**asdict(plan), "must_fail": plan.must_fail, "violations": stage.perform(plan)}
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
