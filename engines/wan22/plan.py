"""The Steps of a Job on the official repository: the exact commands of both stages."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from config import FINISHING, GENERATION, PREPROCESSING, Job
from engines import finishing, masking, normalising, source_folder, verification
from engines.interface import Prediction
from engines.wan22 import checkout, facts, prediction, progress
from engines.wan22.diagnose import diagnose
from engines.wan22.windows import UPSTREAM_FRAME_NUM
from execution.record import is_current
from execution.step import Published, Step

LAUNCHER = Path(__file__).with_name("launcher.py")
STAGE_1_LAUNCHER = Path(__file__).with_name("stage1_launcher.py")
_OUR_CODE = (LAUNCHER, STAGE_1_LAUNCHER, Path(__file__))

_ENVIRONMENT = {
    "PYTHONUNBUFFERED": "1",  # stage 1's prints would else arrive in blocks, at the end
    "PYTHONIOENCODING": "utf-8",  # upstream logs Chinese text
    "PYTHONSAFEPATH": "",  # both scripts find their code beside themselves
    "TQDM_MININTERVAL": "1",
    "HF_HUB_OFFLINE": "1",  # a missing tokenizer folder must not become a download
}


def steps(job: Job) -> Iterator[Step]:
    """The Steps of the job's stages. That of stage 2 is made when stage 1 has run, if it is to run."""
    if PREPROCESSING in job.stages:
        if normalising.is_needed(job):
            yield normalising.normalise_step(job)
        first = preprocess_step(job)
        if job.has_own_mask:
            first = masking.stage_1_for_own_mask(first, preprocess_step(job, cheap_mask=True))
        yield first
        yield from masking.mask_steps(job)
        predicted = prediction.predict_after(job) if is_current(first) else prediction.predict(job)
    else:
        predicted = prediction.predict(job)
    if GENERATION in job.stages:
        yield generate_step(job, predicted)
    if FINISHING in job.stages:
        yield from finishing.finishing_steps(job, "wan22")


def preprocess_step(job: Job, *, cheap_mask: bool = False) -> Step:
    """Stage 1: upstream's preprocess_data.py, run as a file (as a module it does not find its parts).

    ``cheap_mask`` runs it through our launcher, so that its own mask costs nothing and cannot fail.
    """
    script = job.wan22_dir / checkout.PREPROCESS_SCRIPT
    argv: list[str | Published] = [str(job.wan22_python)]
    argv += [str(STAGE_1_LAUNCHER)] if cheap_mask else []
    argv += [str(script)]
    argv += ["--ckpt_path", str(job.ckpt_dir / checkout.PREPROCESS_CHECKPOINTS)]
    video = normalising.copy_path(job) if normalising.is_needed(job) else job.video_path
    argv += ["--video_path", str(video), "--refer_path", str(job.refer_path)]
    argv += ["--save_path", Published(job.save_path)]
    argv += ["--resolution_area", *map(str, job.resolution), "--fps", str(job.fps)]
    if job.replace:
        argv += ["--iterations", "0" if cheap_mask else str(job.iterations), "--k", str(job.k)]
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
        inputs={"driving video": video, "reference image": job.refer_path},
        outputs=outputs,
        obsolete=(*source_folder.obsolete(job, (*outputs, video)), *masking.leftovers(job)),
        settings=job.shaping_values(PREPROCESSING),
        argv=tuple(argv),
        cwd=job.wan22_dir,
        env=_ENVIRONMENT,
        code=(*_OUR_CODE, *checkout.source_files(job.wan22_dir)),
        weights=checkout.preprocess_weights(
            job.ckpt_dir, replace=job.replace and not cheap_mask, use_flux=job.use_flux
        ),
        gpus=1,
        progress=partial(progress.PreprocessReader, replace=job.replace),
        diagnose=diagnose,
        verify=partial(verification.verify_source, replace=job.replace, exact_background=False),
        facts=partial(facts.of_preprocessing, job),
    )


def generate_step(job: Job, predicted: Prediction | None) -> Step:
    """Stage 2: upstream's generate.py through our launcher, on one GPU or several.

    ``predicted`` holds the length of the windows; it is None only for a job that ``check`` refuses.
    """
    frame_num = job.frame_num or (predicted and predicted.frame_num) or UPSTREAM_FRAME_NUM
    generated = finishing.generated_path(job)
    script = job.wan22_dir / checkout.GENERATE_SCRIPT
    argv: list[str | Published] = [str(job.wan22_python)]
    if job.multi_gpu:
        # --standalone takes a free port: with the fixed default, two runs on one machine collide.
        argv += ["-m", "torch.distributed.run", "--nnodes", "1"]
        argv += ["--nproc_per_node", str(job.nproc_per_node), "--standalone"]
    argv += [str(LAUNCHER), str(script), "--task", "animate-14B", "--ckpt_dir", str(job.ckpt_dir)]
    argv += ["--src_root_path", str(job.src_root_path), "--refert_num", str(job.refert_num)]
    argv += ["--base_seed", str(job.seed), "--save_file", Published(generated)]
    if job.replace:
        argv.append("--replace_flag")
    if job.use_relighting_lora:
        argv.append("--use_relighting_lora")
    argv += ["--frame_num", str(frame_num)]
    passed_on = ("prompt", "sample_steps", "sample_guide_scale", "sample_shift", "sample_solver")
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
        outputs=(generated,),
        obsolete=masking.originals(job),
        settings={**job.shaping_values(GENERATION), "frame_num": frame_num},
        argv=tuple(argv),
        cwd=job.wan22_dir,
        env=_ENVIRONMENT,
        code=(*_OUR_CODE, *checkout.source_files(job.wan22_dir)),
        weights=checkout.generate_weights(job.ckpt_dir, relighting=job.use_relighting_lora) + shards,
        gpus=job.nproc_per_node or 1,
        progress=partial(
            progress.GenerateReader,
            frame_num=frame_num,
            refert_num=job.refert_num,
            ranks=job.nproc_per_node or 1,
        ),
        diagnose=diagnose,
        verify=partial(
            verification.verify_generated,
            pose=job.src_root_path / source_folder.POSE,
            name=str(generated.relative_to(job.output_path.parent)),
        ),
        facts=partial(facts.of_generation, job, frame_num),
    )
