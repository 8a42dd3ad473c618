"""How upstream itself fails, as its log shows it: loading the weights, stage 1, stage 2.

The order matters: the first that matches is told. An error that names its cause comes before one that many
causes can have. Spellings were taken from real runs wherever a CPU can bring them about, else from reports of
users.
"""

from __future__ import annotations

from typing import Final

from engines.wan22.signature import signature

_WEIGHTS_AGAIN: Final = "Download that file again; --check looks at names, sizes and headers of all of them."
_PROMISE: Final = "--check says what is missing before anything starts."


LOADING: Final = (
    signature(
        "tokenizer",
        r"Repo id must be in the form .*?: '(?P<id>[^']*)'|"
        r"Can't load tokenizer for '(?P<folder>[^']*)'|^OSError: (?P<gone>\S+) is not a local folder",
        "A tokenizer folder is missing or not whole: {id}{folder}{gone}. Its loader then takes the path for "
        "the name of a download. Download google/umt5-xxl and xlm-roberta-large into the folder of "
        "--ckpt_dir.",
    ),
    signature(
        "offline",
        r"We couldn't connect to '|LocalEntryNotFoundError|OfflineModeIsEnabled|is offline mode is enabled",
        "Upstream wanted to download something, which Understudy keeps it from doing: a file of the weights "
        "is "
        f"missing. {_PROMISE}",
    ),
    signature(
        "flux-missing",
        r"provided pretrained_model_name_or_path \"(?P<path>.*?)\" is neither",
        "The FLUX folder is missing: {path}. It is not part of the official download: fetch "
        "FLUX.1-Kontext-dev into it, or leave out --use_flux.",
    ),
    signature(
        "weights-missing",
        r"^RuntimeError: (?P<path>\S+) is not existed!|"
        r"^FileNotFoundError: \[Errno 2\] .*?'(?P<file>[^']*\.(?:pth?|ckpt|onnx|safetensors|json|model))'|"
        r"^\w+Error: (?P<index>\S+ does not appear to have a file named \S+)|"
        r"Error no file named \S+ found in directory (?P<folder>\S+?)\.?$|"
        r'External data path does not exist: "(?P<tensors>[^"]*)"',
        "A file of the weights is missing: {path}{file}{index}{folder}{tensors}. Download it (check "
        "--ckpt_dir). "
        f"{_PROMISE}",
    ),
    signature(
        "weights-broken",
        r"PytorchStreamReader failed|SafetensorError: (?P<header>.*)|unexpected EOF, expected|"
        r"UnpicklingError|INVALID_PROTOBUF : Load model from (?P<model>\S+)|^EOFError|"
        r"Protobuf parsing failed|^(?:Runtime|Value|OS)Error: .*checkpoint file is corrupted",
        "A file of the weights is damaged or cut off (the last file that the log names as being loaded). "
        f"{_WEIGHTS_AGAIN}",
    ),
    signature(
        "weights-other",
        r"Error\(s\) in loading state_dict for (?P<name>\w+)|size mismatch for \S+: copying a param",
        "The weights are of another model than the code expects. Check that --ckpt_dir holds "
        "Wan2.2-Animate-14B, whole and not mixed with another model's files.",
    ),
)

STAGE_1: Final = (
    signature(
        "empty-mask",
        r"zero-size array to reduction operation",
        "In some frame nobody was found to be masked, and upstream's mask step cannot go on. Try "
        "--iterations 0 (the mask is then not grown), or cut the driving video to where the person is in "
        "the picture; --check --look says where that is.",
    ),
    signature(
        "thin-mask",
        r"range\(\) arg 3 must not be zero",
        "In some frame the mask is thinner than its grid has cells. Try smaller --w_len and --h_len, or "
        "--iterations 0.",
    ),
    signature(
        "face-out-of-picture",
        r"!ssize\.empty\(\) in function 'resize'|cannot convert float NaN to integer|last_kp2ds_body|"
        r"get_face_bboxes",
        "In some frame upstream found no usable face: the person is out of the picture, turned away, or not "
        "there. Cut the driving video to where the person is well seen; --check --look says where that is.",
    ),
    signature(
        "driving-video-tiny",
        r"The size must exactly match",
        "Upstream's decoder cannot read pictures this small. Use a driving video at least 96 pixels wide and "
        "high.",
    ),
    signature(
        "driving-video-broken",
        r"^(?:[\w.]*\.)?(?:RuntimeError|DECORDError): (?:Error reading (?!\S*src_)(?P<path>.+?)\.\.\.|"
        r".*(?:Check failed: \w+ != nullptr|cannot find video stream|ERROR opening|avcodec_))",
        "Upstream's decoder (decord) cannot read the driving video {path}. It takes no GIF, no file without "
        "a picture, and no damaged one. --normalize auto gives it a clean copy.",
    ),
    signature(
        "source-files",
        r"Error reading (?P<path>\S*src_\S+?)\.\.\.",
        "Upstream cannot read {path}: stage 1's file is missing or damaged. Run stage 1 again with --force.",
    ),
    signature(
        "driving-video-length",
        r"^IndexError: Out of bound indices|ratio = abs\([\s\S]*^ZeroDivisionError",
        "The driving video has fewer frames than its header says, and upstream reads past its end. Export it "
        "again at a constant rate, or leave --normalize at auto, which does so.",
    ),
    signature(
        "too-few-frames",
        r"Processing pose meta[\s\S]*^IndexError: list index out of range|"
        r"tpl_img = frames\[1\][\s\S]*^IndexError",
        "The driving video gives too few frames at this --fps. Use a longer clip, or a higher --fps.",
    ),
    signature(
        "reference-png",
        r"libpng error[\s\S]*^TypeError: 'NoneType' object is not subscriptable",
        "Upstream could not decode the PNG reference image: its video decoder had been loaded first. Save "
        "the reference image as JPEG, and run both stages again.",
    ),
    signature(
        "reference-unreadable",
        r"\[\.\.\., ::-1\][\s\S]*^TypeError: 'NoneType' object is not subscriptable",
        "Upstream could not decode the reference image. HEIC and AVIF cannot be read: save it as JPEG or "
        "PNG.",
    ),
    signature(
        "flux-without-retarget",
        r"^AssertionError: Image editing with FLUX can only",
        "--use_flux works with --retarget only. Add --retarget, or leave out --use_flux.",
    ),
)

STAGE_2: Final = (
    signature(
        "overlap",
        r"refert_num should be 1 or 5",
        "The overlap of the windows must be 1 or 5 frames. Give --refert_num 1 or --refert_num 5.",
    ),
    signature(
        "gpus-and-size",
        r"can't divide axis of length (?P<length>\d+) in chunks of (?P<chunks>\d+)",
        "This picture size cannot be shared out over this number of GPUs ({length} tokens are no multiple of "
        "{chunks}). Use another --nproc_per_node or --resolution; --check names sizes and numbers that work.",
    ),
    signature(
        "window-length",
        r"(?:real_clip_len|% stride)[\s\S]*^ZeroDivisionError|"
        r"^ZeroDivisionError: integer (?:division or )?modulo by zero|"
        r"^RuntimeError: shape '\[.*\]' is invalid for input of size",
        "The windows cannot be of this length. --frame_num must be 4n+1 and more than twice --refert_num; "
        "auto chooses one.",
    ),
    signature(
        "window-or-size",
        r"^RuntimeError: Sizes of tensors must match|"
        r"size of tensor a \(\d+\) must match the size of tensor b",
        "Two inputs of the model do not fit together: either --frame_num is not 4n+1 and more than twice "
        "--refert_num, or src_bg.mp4 is not of the size of src_pose.mp4. Leave --frame_num at auto, and run "
        "stage 1 again with --force.",
    ),
    signature(
        "too-few-frames",
        r"expected a non-empty list of Tensors|"
        r"inputs_padding[\s\S]*^IndexError|^IndexError: index 1 is out of bounds for axis 0 with size 1",
        "There are too few frames: stage 2 needs more than --refert_num, and two seconds are better. Use a "
        "longer driving video, or a higher --fps.",
    ),
    signature(
        "size-option",
        r"^AssertionError: Unsupport size",
        "Upstream refuses this --size, which changes nothing for this task anyway. Leave it out.",
    ),
    signature(
        "several-gpus",
        r"^AssertionError: (?:t5_fsdp and dit_fsdp are not|sequence parallel are not|"
        r"The number of ulysses_size|`cfg\.num_heads)",
        "The number of processes does not fit upstream's rules: with --multi_gpu give --nproc_per_node 2, "
        "4, 5, 8, 10, 20 or 40, and leave out both for one GPU.",
    ),
    signature(
        "missing-path",
        r"^TypeError: (?:expected str, bytes or os\.PathLike object|stat: path should be string), .*NoneType|"
        r"^TypeError: .*os\.PathLike.*NoneType|expected str but get NULL",
        "Upstream was not given a path that it needs, and checks none at the start. --dry_run shows its "
        f"command. {_PROMISE}",
    ),
)
