"""Stand-in for upstream's stage 2: the same options, checks, output lines and file; no networks.

The modes of misbehaviour are listed in standin_faults.py.
"""

import sys

modules_at_start = [name for name in sys.modules if "." not in name]

import argparse  # noqa: E402  the list above must be taken first
import logging  # noqa: E402
import os  # noqa: E402
import random  # noqa: E402
from datetime import datetime  # noqa: E402
from pathlib import Path  # noqa: E402

import torch  # noqa: E402  the stand-in beside this file, or a real one
import wan  # noqa: E402
from standin_faults import START, fault_of, strike  # noqa: E402
from standin_support import record_start  # noqa: E402

TASKS = ["t2v-A14B", "i2v-A14B", "ti2v-5B", "animate-14B", "s2v-14B"]
SIZES = ["720*1280", "1280*720", "480*832", "832*480", "704*1280", "1280*704", "1024*704", "704*1024"]
ANIMATE_SIZES = ("720*1280", "1280*720")
TRUE_WORDS, FALSE_WORDS = ("yes", "true", "t", "y", "1"), ("no", "false", "f", "n", "0")
PROMPT = "视频中的人在做动作"


def str2bool(text: str) -> bool:
    """The words upstream takes for yes and no."""
    if text.lower() in TRUE_WORDS + FALSE_WORDS:
        return text.lower() in TRUE_WORDS
    raise argparse.ArgumentTypeError("Boolean value expected (True/False)")


def build_parser() -> argparse.ArgumentParser:
    """Upstream's options, in upstream's order (the order shows in the line `Generation job args`)."""
    parser = argparse.ArgumentParser(description="Stand-in for the generation of Wan.")

    def text(*names: str, choices: list[str] | None = None, default: str | None = None) -> None:
        for name in names:
            parser.add_argument(f"--{name}", type=str, default=default, choices=choices)

    def switch(*names: str) -> None:
        for name in names:
            parser.add_argument(f"--{name}", action="store_true", default=False)

    def number(name: str, kind: type[int] | type[float], default: int | None = None) -> None:
        parser.add_argument(f"--{name}", type=kind, default=default)

    text("task", choices=TASKS, default="t2v-A14B")
    text("size", choices=SIZES, default="1280*720")
    number("frame_num", int)
    text("ckpt_dir")
    parser.add_argument("--offload_model", type=str2bool, default=None)
    number("ulysses_size", int, 1)
    switch("t5_fsdp", "t5_cpu", "dit_fsdp")
    text("save_file", "prompt")
    switch("use_prompt_extend")
    text("prompt_extend_method", choices=["dashscope", "local_qwen"], default="local_qwen")
    text("prompt_extend_model")
    text("prompt_extend_target_lang", choices=["zh", "en"], default="zh")
    number("base_seed", int, -1)
    text("image")
    text("sample_solver", choices=["unipc", "dpm++"], default="unipc")
    number("sample_steps", int)
    number("sample_shift", float)
    number("sample_guide_scale", float)
    switch("convert_model_dtype")
    text("src_root_path")
    number("refert_num", int, 77)
    switch("replace_flag", "use_relighting_lora")
    number("num_clip", int)
    text("audio")
    switch("enable_tts")
    text("tts_prompt_audio", "tts_prompt_text", "tts_text", "pose_video")
    switch("start_from_ref")
    number("infer_frames", int, 80)
    return parser


def parse_arguments() -> argparse.Namespace:
    """Parse, check and fill in the defaults of the task, as upstream does before anything is loaded."""
    arguments = build_parser().parse_args()
    assert arguments.ckpt_dir is not None, "Please specify the checkpoint directory."
    if arguments.task != "animate-14B":
        raise NotImplementedError("the stand-in knows the task animate-14B only")
    if arguments.prompt is None:
        arguments.prompt = PROMPT
    for name in ("sample_steps", "sample_shift", "sample_guide_scale", "frame_num"):
        if getattr(arguments, name) is None:
            setattr(arguments, name, wan.CONFIG[name])
    if arguments.base_seed < 0:
        arguments.base_seed = random.randint(0, sys.maxsize)
    assert arguments.size in ANIMATE_SIZES, (
        f"Unsupport size {arguments.size} for task {arguments.task}, "
        f"supported sizes are: {', '.join(ANIMATE_SIZES)}"
    )
    return arguments


def check_processes(arguments: argparse.Namespace, world_size: int) -> None:
    """Upstream's assertions on sharding and sequence parallelism."""
    if world_size == 1:
        assert not (arguments.t5_fsdp or arguments.dit_fsdp), (
            "t5_fsdp and dit_fsdp are not supported in non-distributed environments."
        )
        assert arguments.ulysses_size <= 1, (
            "sequence parallel are not supported in non-distributed environments."
        )
    if arguments.ulysses_size > 1:
        assert arguments.ulysses_size == world_size, (
            "The number of ulysses_size should be equal to the world size."
        )
        assert wan.CONFIG["num_heads"] % arguments.ulysses_size == 0, (
            f"`cfg.num_heads={wan.CONFIG['num_heads']}` cannot be divided evenly by "
            f"`args.ulysses_size={arguments.ulysses_size}`."
        )


def start_logging(rank: int) -> None:
    """Rank 0 logs on stdout from INFO up, the others only errors."""
    if rank == 0:
        handler = logging.StreamHandler(stream=sys.stdout)
        logging.basicConfig(
            level=logging.INFO, format="[%(asctime)s] %(levelname)s: %(message)s", handlers=[handler]
        )
    else:
        logging.basicConfig(level=logging.ERROR)


def default_name(arguments: argparse.Namespace) -> str:
    """The file upstream writes into the working directory when it is given no name."""
    prompt = arguments.prompt.replace(" ", "_").replace("/", "_")[:50]
    now = datetime.now().strftime("%Y%m%d_%H%M%S")
    return f"{arguments.task}_{arguments.size}_{arguments.ulysses_size}_{prompt}_{now}.mp4"


def generate(arguments: argparse.Namespace, fault: str) -> None:
    rank, world_size = int(os.getenv("RANK", "0")), int(os.getenv("WORLD_SIZE", "1"))
    start_logging(rank)
    if arguments.offload_model is None:
        arguments.offload_model = world_size == 1
        logging.info(f"offload_model is not specified, set to {arguments.offload_model}.")
    check_processes(arguments, world_size)
    logging.info(f"Generation job args: {arguments}")
    logging.info(f"Generation model config: {wan.CONFIG}")
    logging.info(f"Input prompt: {arguments.prompt}")
    if arguments.image is not None:
        Path(arguments.image).open("rb").close()
        logging.info(f"Input image: {arguments.image}")
    logging.info("Creating Wan-Animate pipeline.")
    wan_animate = wan.WanAnimate(
        config=wan.CONFIG,
        checkpoint_dir=arguments.ckpt_dir,
        device_id=int(os.getenv("LOCAL_RANK", "0")),
        rank=rank,
        t5_fsdp=arguments.t5_fsdp,
        dit_fsdp=arguments.dit_fsdp,
        use_sp=arguments.ulysses_size > 1,
        t5_cpu=arguments.t5_cpu,
        convert_model_dtype=arguments.convert_model_dtype,
        use_relighting_lora=arguments.use_relighting_lora,
    )
    logging.info("Generating video ...")
    video = wan_animate.generate(  # without the prompt, as upstream
        src_root_path=arguments.src_root_path,
        replace_flag=arguments.replace_flag,
        refert_num=arguments.refert_num,
        clip_len=arguments.frame_num,
        shift=arguments.sample_shift,
        sample_solver=arguments.sample_solver,
        sampling_steps=arguments.sample_steps,
        guide_scale=arguments.sample_guide_scale,
        seed=arguments.base_seed,
        offload_model=arguments.offload_model,
    )
    if rank == 0:
        save_file = arguments.save_file or default_name(arguments)
        logging.info(f"Saving generated video to {save_file}")
        wan.save_video(video, save_file, fault)
    logging.info("Finished.")


def main() -> None:
    fault = fault_of("generate")
    record_start("generate", modules_at_start, torch.get_float32_matmul_precision())
    strike(fault, START)
    generate(parse_arguments(), fault)


if __name__ == "__main__":
    main()
