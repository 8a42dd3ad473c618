"""The Steps of a Job on the official repository: the exact commands of both stages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from config import GENERATION, PREPROCESSING, Job
from engines import source_folder
from engines.wan22 import checkout, progress
from execution.step import Published, Step

LAUNCHER = Path(__file__).with_name("launcher.py")
_OUR_CODE = (LAUNCHER, Path(__file__))

_ENVIRONMENT = {
    "PYTHONUNBUFFERED": "1",  # stage 1's prints would else arrive in blocks, at the end
    "PYTHONIOENCODING": "utf-8",  # upstream logs Chinese text
    "PYTHONSAFEPATH": "",  # both scripts find their code beside themselves
    "TQDM_MININTERVAL": "1",
    "HF_HUB_OFFLINE": "1",  # a missing tokenizer folder must not become a download
}

_OUT_OF_MEMORY = re.compile(r"OutOfMemoryError|CUDA out of memory|CUBLAS_STATUS_ALLOC_FAILED")
_SAVE_FAILED = re.compile(r"save_video failed, error: (.*)")


def steps(job: Job) -> Sequence[Step]:
    """The Steps of the job's stages."""
    makers = {PREPROCESSING: preprocess_step, GENERATION: generate_step}
    return [makers[stage](job) for stage in job.stages]


def preprocess_step(job: Job) -> Step:
    """Stage 1: upstream's preprocess_data.py, run as a file (as a module it does not find its parts)."""
    script = job.wan22_dir / checkout.PREPROCESS_SCRIPT
    argv: list[str | Published] = [str(job.wan22_python), str(script)]
    argv += ["--ckpt_path", str(job.ckpt_dir / checkout.PREPROCESS_CHECKPOINTS)]
    argv += ["--video_path", str(job.video_path), "--refer_path", str(job.refer_path)]
    argv += ["--save_path", Published(job.save_path)]
    argv += ["--resolution_area", *map(str, job.resolution), "--fps", str(job.fps)]
    if job.replace:
        argv += ["--iterations", str(job.iterations), "--k", str(job.k)]
        argv += ["--w_len", str(job.w_len), "--h_len", str(job.h_len), "--replace_flag"]
    if job.retarget:
        argv.append("--retarget_flag")
    if job.use_flux:
        argv.append("--use_flux")
    outputs = tuple(job.save_path / name for name in source_folder.names(job))
    return Step(
        name="preprocess",
        stage=PREPROCESSING,
        title=f"Stage 1, preprocessing ({job.mode}, wan22)",
        engine="wan22",
        folder=job.save_path,
        inputs={"driving video": job.video_path, "reference image": job.refer_path},
        outputs=outputs,
        obsolete=source_folder.obsolete(job, outputs),
        settings=job.shaping_values(PREPROCESSING),
        argv=tuple(argv),
        cwd=job.wan22_dir,
        env=_ENVIRONMENT,
        code=(*_OUR_CODE, *checkout.source_files(job.wan22_dir)),
        weights=checkout.preprocess_weights(job.ckpt_dir, replace=job.replace, use_flux=job.use_flux),
        gpus=1,
        progress=partial(progress.PreprocessReader, replace=job.replace),
        diagnose=diagnose,
        verify=partial(source_folder.verify, replace=job.replace),
    )


def generate_step(job: Job) -> Step:
    """Stage 2: upstream's generate.py through our launcher, on one GPU or several."""
    script = job.wan22_dir / checkout.GENERATE_SCRIPT
    argv: list[str | Published] = [str(job.wan22_python)]
    if job.multi_gpu:
        # --standalone takes a free port: with the fixed default, two runs on one machine collide.
        argv += ["-m", "torch.distributed.run", "--nnodes", "1"]
        argv += ["--nproc_per_node", str(job.nproc_per_node), "--standalone"]
    argv += [str(LAUNCHER), str(script), "--task", "animate-14B", "--ckpt_dir", str(job.ckpt_dir)]
    argv += ["--src_root_path", str(job.src_root_path), "--refert_num", str(job.refert_num)]
    argv += ["--base_seed", str(job.seed), "--save_file", Published(job.output_path)]
    if job.replace:
        argv.append("--replace_flag")
    if job.use_relighting_lora:
        argv.append("--use_relighting_lora")
    passed_on = ("prompt", "sample_steps", "sample_guide_scale", "sample_shift", "sample_solver", "frame_num")
    for name in passed_on:
        value = getattr(job, name)
        if value is not None and str(value).startswith("-"):
            argv.append(f"--{name}={value}")  # else upstream's parser takes the value for a flag
        elif value is not None:
            argv += [f"--{name}", str(value)]
    if job.no_offload:
        argv += ["--offload_model", "False"]
    if job.t5_cpu:
        argv.append("--t5_cpu")
    if job.convert_model_dtype:
        argv.append("--convert_model_dtype")
    if job.multi_gpu:
        argv += ["--dit_fsdp", "--t5_fsdp", "--ulysses_size", str(job.nproc_per_node)]
    shards = checkout.diffusion_shards(job.ckpt_dir)
    return Step(
        name="generate",
        file_name=f"generate {job.output_path.name}",
        stage=GENERATION,
        title=f"Stage 2, generation ({job.mode}, wan22)",
        engine="wan22",
        folder=job.output_path.parent,
        inputs={name: job.src_root_path / name for name in source_folder.names(job)},
        outputs=(job.output_path,),
        settings=job.shaping_values(GENERATION),
        argv=tuple(argv),
        cwd=job.wan22_dir,
        env=_ENVIRONMENT,
        code=(*_OUR_CODE, *checkout.source_files(job.wan22_dir)),
        weights=checkout.generate_weights(job.ckpt_dir, relighting=job.use_relighting_lora) + shards,
        gpus=job.nproc_per_node or 1,
        progress=partial(
            progress.GenerateReader,
            frame_num=job.frame_num or progress.UPSTREAM_FRAME_NUM,
            refert_num=job.refert_num,
            ranks=job.nproc_per_node or 1,
        ),
        diagnose=diagnose,
        verify=partial(
            source_folder.verify_result,
            pose=job.src_root_path / source_folder.POSE,
            name=job.output_path.name,
        ),
    )


def diagnose(log: str) -> str | None:
    """Cause and remedy for the failures of upstream that its last lines do not explain."""
    if _OUT_OF_MEMORY.search(log):
        return (
            "The GPU ran out of memory. Try --t5_cpu, a smaller --resolution in stage 1, "
            "a smaller --frame_num, or several GPUs with --multi_gpu."
        )
    if saving := _SAVE_FAILED.search(log):
        return f"Upstream could not write its video and hid the error: {saving.group(1).strip()}"
    if "zero-size array to reduction operation" in log:
        return "In some frame no person was found, and upstream's mask step cannot go on. Try --iterations 0."
    if "range() arg 3 must not be zero" in log:
        return "In some frame the mask is thinner than its grid. Try smaller --w_len and --h_len."
    return None
