"""Upstream's failures, by their real last lines: each is understood, and told with a cause and a remedy.

The texts come from upstream's own code and the libraries that it uses (on a CPU), and, where a GPU is needed, from
reports of users.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engines.wan22.diagnose import SIGNATURES, diagnose
from execution.step import GPU_MEMORY, HOST_MEMORY

LOGS = Path(__file__).parents[1] / "data/upstream_logs"

OUT_OF_MEMORY = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.47 GiB. GPU 0 has a total capacity of "
    "79.15 GiB of which 1.02 GiB is free."
)
KILLED_RANK = """\
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
=======================================================
generate.py FAILED
-------------------------------------------------------
Failures:
[1]:
  rank      : 0 (local_rank: 0)
  exitcode  : -15 (pid: 28174)  (SIGTERM)
  error_file: <N/A>
-------------------------------------------------------
Root Cause (first observed failure):
[0]:
  rank      : 1 (local_rank: 1)
  exitcode  : {code} (pid: 28175)  (SIGKILL)
  error_file: <N/A>
  traceback : Signal {code} received by PID 28175
"""
FULL_DISK = """\
OSError: [Errno 32] Broken pipe

MoviePy error: FFMPEG encountered the following error while writing file src_pose.mp4:

 b'[out#0/mp4 @ 0x55bd] Could not write header (incorrect codec parameters ?): No space left on device\\n'
"""
FLASH_ATTN_MISSING = """\
[2026-11-21 04:51:22,560] INFO: real frames: 106 target frames: 153
Traceback (most recent call last):
  File "/x/wan/modules/attention.py", line 112, in flash_attention
    assert FLASH_ATTN_2_AVAILABLE
           ^^^^^^^^^^^^^^^^^^^^^^
AssertionError
"""
FACE_ATTENTION = """\
  File "/x/wan/modules/animate/face_blocks.py", line 369, in forward
    attn = flash_attn_func(q, k, v)
           ^^^^^^^^^^^^^^^^^^^^^^^^
TypeError: 'NoneType' object is not callable
"""
EINOPS = """\
einops.EinopsError:  Error while processing rearrange-reduction pattern "B (L S) H D -> (B L) S H D".
 Input tensor shape: torch.Size([1, 31900, 40, 128]). Additional info: {'L': 21}.
 Shape mismatch, can't divide axis of length 31900 in chunks of 21
"""
TOKENIZER_GONE = (
    "huggingface_hub.errors.HFValidationError: Repo id must be in the form 'repo_name' or "
    "'namespace/repo_name': '/models/Wan2.2-Animate-14B/google/umt5-xxl'. Use `repo_type` argument if needed."
)
TOKENIZER_EMPTY = (
    "OSError: Can't load tokenizer for '/models/xlm-roberta-large'. If you were trying to load it from "
    "'https://huggingface.co/models', make sure you don't have a local directory with the same name."
)
OFFLINE = (
    "OSError: We couldn't connect to 'https://huggingface.co' to load the files, and couldn't find them in "
    "the cached files.\nCheck your internet connection or see how to run the library in offline mode."
)
BROKEN_ZIP = (
    "RuntimeError: PytorchStreamReader failed reading zip archive: failed finding central directory. This is "
    "an internal miniz error."
)
ONNX_TENSORS = (
    "onnxruntime.capi.onnxruntime_pybind11_state.Fail: [ONNXRuntimeError] : 1 : FAIL : External data path "
    "validation failed for initializer: w. Error: tensorprotoutils.cc:461 ValidateExternalDataPathFromDir "
    'External data path does not exist: "/models/pose2d/vitpose_h_wholebody.onnx/w"'
)
PNG = """\
libpng error: bad parameters to zlib
Traceback (most recent call last):
  File "/x/wan/animate.py", line 250, in prepare_source
    refer_images = cv2.imread(src_ref_path)[..., ::-1]
TypeError: 'NoneType' object is not subscriptable
"""
HEIC = """\
  File "/x/wan/modules/animate/preprocess/process_pipepline.py", line 131, in __call__
    refer_img = refer_img[..., ::-1]
                ~~~~~~~~~^^^^^^^^^^^
TypeError: 'NoneType' object is not subscriptable
"""
TOO_SHORT = """\
2026-11-21 04:29:58.100 | INFO     | process_pipepline:__call__:163 - Processing pose meta
Traceback (most recent call last):
    H, W = images[0].shape[:2]
           ~~~~~~^^^
IndexError: list index out of range
"""
NO_FRAMES = """\
    ratio = abs((frame_num - expected_frame_num)/frame_num)
                ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~^~~~~~~~~~
ZeroDivisionError: division by zero
"""
WINDOW_IS_OVERLAP = """\
    last_clip_num = (real_len - overlap) % real_clip_len
                    ~~~~~~~~~~~~~~~~~~~~~^~~~~~~~~~~~~~~
ZeroDivisionError: {words}
"""
ONE_FRAME = """\
  File "/x/wan/animate.py", line 206, in inputs_padding
    target_array.append(deepcopy(array[idx]))
IndexError: index 1 is out of bounds for axis 0 with size 1
"""
WATCHDOG = (
    "[rank1]:[E426 06:24:44.903881913 ProcessGroupNCCL.cpp:616] [Rank 1] Watchdog caught collective "
    "operation timeout: WorkNCCL(SeqNum=808, OpType=ALLGATHER, NumelIn=9801523, NumelOut=9801523, "
    "Timeout(ms)=600000) ran for 600020 milliseconds before timing out."
)

CASES = [
    # memory of the GPU
    (GPU_MEMORY, "--t5_cpu", OUT_OF_MEMORY),
    (GPU_MEMORY, "--frame_num", "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB"),
    (GPU_MEMORY, "--multi_gpu", "[rank1]: " + OUT_OF_MEMORY),
    (GPU_MEMORY, "--on_oom", "RuntimeError: CUDA error: out of memory"),
    (GPU_MEMORY, "--resolution", "torch.AcceleratorError: CUDA error: out of memory"),
    (GPU_MEMORY, "GPU", "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    (GPU_MEMORY, "GPU", "RuntimeError: cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    (GPU_MEMORY, "GPU", "ncclUnhandledCudaError: Call to CUDA function failed.\nLast error:\nCuda failure 2 'out of memory'"),
    (GPU_MEMORY, "GPU", "onnxruntime::CudaCall CUDA failure 2: out of memory ; GPU=0 ; hostname=x"),
    (
        GPU_MEMORY,
        "GPU",
        "void* onnxruntime::BFCArena::AllocateRawInternal(size_t, bool, onnxruntime::Stream*) Failed to "
        "allocate memory for requested buffer of size 939524096",
    ),
    # memory of the machine
    (
        HOST_MEMORY,
        "shorter clip",
        "RuntimeError: [enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate "
        "memory: you tried to allocate 40000000000000 bytes. Error code 12 (Cannot allocate memory)",
    ),
    (HOST_MEMORY, "All frames", "numpy.core._exceptions._ArrayMemoryError: Unable to allocate 728. TiB for an array"),
    (HOST_MEMORY, "All frames", "MemoryError"),
    (HOST_MEMORY, "All frames", "terminate called after throwing an instance of 'std::bad_alloc'"),
    (HOST_MEMORY, "All frames", "OSError: [Errno 12] Cannot allocate memory"),
    (
        HOST_MEMORY,
        "not the GPU's",
        "cv2.error: OpenCV(4.11.0) /io/opencv/modules/core/src/alloc.cpp:73: error: (-4:Insufficient "
        "memory) Failed to allocate 12000000000000 bytes in function 'OutOfMemoryError'",
    ),
    (HOST_MEMORY, "killed by the system", KILLED_RANK.format(code=-9)),
    (HOST_MEMORY, "--shm-size", KILLED_RANK.format(code=-7)),
    (HOST_MEMORY, "--ipc=host", "RuntimeError: unable to write to file </torch_28_3919>: No space left on device (28)"),
    (HOST_MEMORY, "--shm-size", "Error while creating shared memory segment /dev/shm/nccl-a1 (size 9637888)"),
    (HOST_MEMORY, "--shm-size", "Fatal Python error: Bus error\n\nThread 0x00007f"),
    # saving
    ("save-failed", "directory does not exist", "INFO: save_video failed, error: [Errno 2] The directory does not exist: '/x'"),
    ("save-failed", "[Errno 28]", "INFO: save_video failed, error: [Errno 28] No space left on device\nFinished."),
    ("disk-full", "Free some space", "OSError: [Errno 28] No space left on device"),
    ("disk-full", "Free some space", FULL_DISK),
    ("disk-full", "quota", "OSError: [Errno 122] Disk quota exceeded"),
    ("permission", "'/x/src_ref.png'", "PermissionError: [Errno 13] Permission denied: '/x/src_ref.png'"),
    ("permission", "'/x/a.mp4'", "OSError: [Errno 30] Read-only file system: '/x/a.mp4'"),
    # what is installed
    (
        "flash-attn-torch",
        "another torch",
        "ImportError: /opt/lib/python3.12/site-packages/flash_attn_2_cuda.cpython-312-x86_64-linux-gnu.so: "
        "undefined symbol: "
        "_ZN3c105ErrorC2ENS_14SourceLocationENSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE",
    ),
    ("flash-attn-missing", "pip install flash-attn", FLASH_ATTN_MISSING),
    ("flash-attn-missing", "pip install flash-attn", FACE_ATTENTION),
    ("flash-attn-missing", "pip install flash-attn", "ModuleNotFoundError: No module named 'flash_attn'"),
    ("sam2-extension", "nvcc", "ImportError: cannot import name '_C' from 'sam2' (/x/sam2/__init__.py)"),
    ("sam2-extension", "SAM 2", "ImportError: /x/sam2/_C.so: undefined symbol: _ZN3c104cuda9SetDeviceEi"),
    ("sam2-extension", "SAM 2", "KeyError: 'frames_tracked_per_obj'"),
    ("diffusers-version", ">=0.35", "ImportError: cannot import name 'FluxKontextPipeline' from 'diffusers' (/x/__init__.py)"),
    (
        "numpy-version",
        "numpy<2",
        "A module that was compiled using NumPy 1.x cannot be run in\nNumPy 2.2.1 as it may crash.\n"
        "AttributeError: _ARRAY_API not found",
    ),
    ("system-library", "libGL.so.1", "ImportError: libGL.so.1: cannot open shared object file: No such file or directory"),
    ("ffmpeg-missing", "imageio-ffmpeg", "RuntimeError: No ffmpeg exe could be found. Install ffmpeg on your system"),
    ("module-missing", "pip install librosa", "ModuleNotFoundError: No module named 'librosa'"),
    ("module-missing", "pip install hydra-core", "ModuleNotFoundError: No module named 'hydra'"),
    ("module-missing", "pip install opencv-python", "ModuleNotFoundError: No module named 'cv2'"),
    ("module-missing", "facebookresearch/sam2", "ModuleNotFoundError: No module named 'sam2'"),
    ("module-missing", "pip install quite_unknown", "ModuleNotFoundError: No module named 'quite_unknown.part'"),
    ("module-version", "transformers<=4.51.3", "ModuleNotFoundError: No module named 'transformers.modeling_layers'"),
    ("checkout", "Clone it again", "ModuleNotFoundError: No module named 'wan.modules'"),
    # the GPU
    ("no-gpu", "--engine preview", "AssertionError: Torch not compiled with CUDA enabled"),
    ("no-gpu", "nvidia-smi", "RuntimeError: Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU"),
    ("no-gpu", "CUDA_VISIBLE_DEVICES", "RuntimeError: No CUDA GPUs are available"),
    ("driver-too-old", "Update the driver", "RuntimeError: The NVIDIA driver on your system is too old (found version 11040)."),
    ("driver-too-old", "Update the driver", "RuntimeError: CUDA error: CUDA driver version is insufficient for CUDA runtime version"),
    ("gpu-not-supported", "not built for this GPU", "RuntimeError: CUDA error: no kernel image is available for execution on the device"),
    ("gpu-not-supported", "Ampere", "RuntimeError: FlashAttention only supports Ampere GPUs or newer."),
    ("gpu-count", "--nproc_per_node", "RuntimeError: CUDA error: invalid device ordinal"),
    ("gpu-fault", "nvidia-smi", "RuntimeError: CUDA error: an illegal memory access was encountered"),
    # loading
    ("tokenizer", "/models/Wan2.2-Animate-14B/google/umt5-xxl", TOKENIZER_GONE),
    ("tokenizer", "/models/xlm-roberta-large", TOKENIZER_EMPTY),
    ("offline", "--check", OFFLINE),
    (
        "flux-missing",
        "/ck/FLUX.1-Kontext-dev",
        'ValueError: The provided pretrained_model_name_or_path "/ck/FLUX.1-Kontext-dev" is neither a valid local '
        "path nor a valid repo id. Please check the parameter.",
    ),
    ("weights-missing", "/nowhere/det/yolov10m.onnx", "RuntimeError: /nowhere/det/yolov10m.onnx is not existed!"),
    ("weights-missing", "/x/sam2_hiera_large.pt", "FileNotFoundError: [Errno 2] No such file or directory: '/x/sam2_hiera_large.pt'"),
    ("weights-missing", "/models", "OSError: Error no file named config.json found in directory /models."),
    ("weights-missing", "00002-of", "FileNotFoundError: /models does not appear to have a file named model-00002-of-00003.safetensors"),
    ("weights-missing", "vitpose_h_wholebody.onnx/w", ONNX_TENSORS),
    ("weights-broken", "Download that file again", BROKEN_ZIP),
    ("weights-broken", "damaged", "safetensors._safetensors_rust.SafetensorError: Error while deserializing header: header too large"),
    ("weights-broken", "damaged", "RuntimeError: unexpected EOF, expected 4096 more bytes. The file might be corrupted."),
    ("weights-broken", "damaged", "_pickle.UnpicklingError: Weights only load failed. In PyTorch 2.6, we changed"),
    ("weights-broken", "damaged", "EOFError: Ran out of input"),
    ("weights-broken", "damaged", "InvalidProtobuf: [ONNXRuntimeError] : 7 : INVALID_PROTOBUF : Load model from x.onnx failed:Protobuf parsing failed."),
    ("weights-other", "--ckpt_dir", 'RuntimeError: Error(s) in loading state_dict for WanModel:\n\tMissing key(s) in state_dict: "a"'),
    # stage 1
    ("empty-mask", "--iterations 0", "ValueError: zero-size array to reduction operation minimum which has no identity"),
    ("thin-mask", "--w_len", "ValueError: range() arg 3 must not be zero"),
    ("face-out-of-picture", "--look", "cv2.error: OpenCV(4.11.0) resize.cpp:4208: error: (-215:Assertion failed) !ssize.empty() in function 'resize'"),
    ("face-out-of-picture", "--look", "ValueError: cannot convert float NaN to integer"),
    ("face-out-of-picture", "--look", "UnboundLocalError: cannot access local variable 'last_kp2ds_body' where it is not associated with a value"),
    (
        "driving-video-tiny",
        "96 pixels",
        "decord._ffi.base.DECORDError: [08:49:35] /github/workspace/src/runtime/ndarray.cc:171: Check "
        "failed: from_size == to_size (18432 vs. 13824) DECORDArrayCopyFromTo: The size must exactly match",
    ),
    ("driving-video-broken", "/x/my clip.gif", "RuntimeError: Error reading /x/my clip.gif..."),
    ("source-files", "/x/src_pose.mp4", "RuntimeError: Error reading /x/src_pose.mp4..."),
    ("driving-video-length", "--normalize", "IndexError: Out of bound indices: [30]"),
    ("driving-video-length", "Export it again", NO_FRAMES),
    ("too-few-frames", "longer clip", TOO_SHORT),
    ("reference-png", "JPEG", PNG),
    ("reference-unreadable", "HEIC", HEIC),
    ("flux-without-retarget", "--retarget", "AssertionError: Image editing with FLUX can only be used when pose retargeting is enabled."),
    # stage 2
    ("overlap", "--refert_num 1", "AssertionError: refert_num should be 1 or 5."),
    ("gpus-and-size", "31900 tokens", EINOPS),
    ("window-length", "4n+1", WINDOW_IS_OVERLAP.format(words="integer modulo by zero")),
    ("window-length", "4n+1", WINDOW_IS_OVERLAP.format(words="division by zero")),
    ("window-length", "4n+1", "RuntimeError: shape '[1, 20, 4, 12, 20]' is invalid for input of size 19440"),
    ("window-or-size", "src_bg.mp4", "RuntimeError: Sizes of tensors must match except in dimension 0. Expected size 20 but got size 19 for tensor number 1 in the list."),
    ("too-few-frames", "longer driving video", "ValueError: torch.cat(): expected a non-empty list of Tensors"),
    ("too-few-frames", "longer driving video", "RuntimeError: torch.cat(): expected a non-empty list of Tensors"),
    ("too-few-frames", "longer driving video", ONE_FRAME),
    ("size-option", "--size", "AssertionError: Unsupport size 832*480 for task animate-14B, supported sizes are: 720*1280, 1280*720"),
    ("several-gpus", "--nproc_per_node", "AssertionError: sequence parallel are not supported in non-distributed environments."),
    ("several-gpus", "--nproc_per_node", "AssertionError: The number of ulysses_size should be equal to the world size."),
    ("several-gpus", "--nproc_per_node", "AssertionError: `cfg.num_heads=40` cannot be divided evenly by `args.ulysses_size=3`."),
    ("missing-path", "--dry_run", "TypeError: expected str, bytes or os.PathLike object, not NoneType"),
    ("missing-path", "--dry_run", "TypeError: stat: path should be string, bytes, os.PathLike or integer, not NoneType"),
    ("missing-path", "--check", "decord._ffi.base.DECORDError: [04:32:19] packed_func.h:523: Check failed: type_code_ == kStr (4 vs. 11)  expected str but get NULL"),
    # processes
    ("port-in-use", "port", "torch.distributed.DistNetworkError: The server socket has failed to listen on any local network address. port: 29500, useIpv6: false, code: -98, name: EADDRINUSE, message: address already in use"),
    ("crashed", "reinstall", KILLED_RANK.format(code=-11)),
    ("gpus-lost-touch", "NCCL_P2P_DISABLE", WATCHDOG),
]  # fmt: skip


@pytest.mark.parametrize(
    ("cause", "words", "log"), CASES, ids=[f"{case[0]}-{case[2][:40]}" for case in CASES]
)
def test_a_failure_is_understood_by_its_real_message(cause, words, log):
    found = diagnose(
        f"100%|██████████| 20/20 [00:04<00:00,  4.22it/s]\rTraceback (most recent call last):\n{log}\n"
    )
    assert found is not None and found.cause == cause, found
    assert words in found.text
    assert len(re.findall(r"[.:]\s|\w$|\.$", found.text)) >= 2, "a cause and a remedy"
    assert not re.search(r"[{}]|\bNone\b|  ", found.text)


def test_every_signature_has_a_message_that_it_is_the_first_to_understand():
    wanting = set(SIGNATURES)
    for _, _, log in CASES:
        text = re.sub(r"^\[rank\d\]: ?", "", log, flags=re.MULTILINE)
        wanting -= {next((entry for entry in SIGNATURES if entry.pattern.search(text)), None)}
    assert not wanting


def test_the_first_rank_that_dies_of_memory_is_not_hidden_by_what_the_others_say():
    log = f"[rank1]: {OUT_OF_MEMORY}\n{WATCHDOG}\n{KILLED_RANK.format(code=-9)}"
    found = diagnose(log)
    assert found is not None and found.cause == GPU_MEMORY


def test_a_rank_that_torchrun_killed_because_another_failed_is_no_lack_of_memory():
    log = "[rank0]: AssertionError: refert_num should be 1 or 5.\n" + KILLED_RANK.format(code=-9)
    found = diagnose(log)
    assert found is not None and found.cause == "overlap"


@pytest.mark.parametrize("path", sorted(LOGS.glob("*.*")), ids=lambda path: path.name)
def test_a_good_run_has_no_diagnosis(path):
    if path.suffix == ".md" or "failed" in path.name:
        pytest.skip("no log of a good run")
    assert diagnose(path.read_text(encoding="utf-8")) is None


def test_the_swallowed_error_of_a_real_run_is_told():
    found = diagnose((LOGS / "generate_save_failed.txt").read_text(encoding="utf-8"))
    assert found is not None and found.cause == "save-failed"


@pytest.mark.parametrize(
    "log", ["", "\r\r\r", "\x00\ufffd{braces} {path}", "ModuleNotFoundError: No module named", "x" * 70_000]
)
def test_what_is_not_understood_is_left_alone(log):
    assert diagnose(log) is None


def test_braces_in_a_log_do_no_harm():
    found = diagnose("INFO: save_video failed, error: {0} {path} {'a': 1}")
    assert found is not None and "{0} {path} {'a': 1}" in found.text
