"""The flags of the set-up commands, each defined once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

from config import DEFAULTS, SETTINGS, nearest
from engines.wan22 import checkout
from set_up.weights.needed import DEFAULT_FEATURES, FEATURES

SPELLING: Final = {
    "help_option_names": ["--help", "-h"],
    "max_content_width": 100,
    "token_normalize_func": lambda token: token.replace("_", "-"),
}
"""``--dry_run`` and ``--dry-run`` are the same."""


class PlaceType(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic since click 8.5
    """A file or folder, made absolute; it need not exist."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """See :class:`click.ParamType`."""
        return Path(os.path.abspath(os.path.expanduser(value)))  # noqa: PTH100, PTH111  links stay as named


class FeaturesType(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """Names of FEATURES with commas between."""

    name = "features"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """See :class:`click.ParamType`."""
        if isinstance(value, tuple):
            return value
        names = [name.strip() for name in str(value).split(",") if name.strip()]
        for name in names:
            if name not in FEATURES:
                near = nearest(name, FEATURES)
                self.fail(f"'{name}' is none of {', '.join(FEATURES)}{near}.", param, ctx)
        if not names:
            self.fail(f"give some of {', '.join(FEATURES)}.", param, ctx)
        return tuple(dict.fromkeys(names))


def wan22_dir() -> click.Option:
    """Where the checkout is."""
    return _place("wan22_dir", SETTINGS["wan22_dir"].help, default=DEFAULTS["wan22_dir"])


def ckpt_dir() -> click.Option:
    """Where the weights are."""
    return _place("ckpt_dir", SETTINGS["ckpt_dir"].help, default=DEFAULTS["ckpt_dir"])


def repository() -> Sequence[click.Option]:
    """Of the part ``repo``."""
    return (
        _text("from", "ADDRESS", f"Clone from this git address or path.  [default: {checkout.UPSTREAM_URL}]"),
        _text(
            "commit", "HASH", "Another commit than the one that Understudy was written for, all 40 letters."
        ),
    )


def environment() -> Sequence[click.Option]:
    """Of the part ``env``."""
    return (
        _place("python", "Python 3.10 to 3.12 for upstream's environment.  [default: one that is found]"),
        _text("torch_index", "ADDRESS", "Take torch from this package index, or from a folder of wheels."),
        _switch("cpu", "Install torch for the CPU: enough for stage 1 in animate mode, and nothing else."),
    )


def flash_attn() -> Sequence[click.Option]:
    """Of the part ``flash_attn``."""
    return (
        _text("wheels_from", "ADDRESS", "Take flash-attn's wheel from this address, or from a folder."),
        _switch("community", "Take a wheel by others than flash-attn's makers where they have none."),
    )


def weights() -> Sequence[click.Option]:
    """Of the part ``weights``."""
    return (
        click.Option(
            ["features", "--for"],
            type=FeaturesType(),
            default=",".join(DEFAULT_FEATURES),
            show_default=True,
            metavar="NAMES",
            help=f"What the weights are for, with commas between: {', '.join(FEATURES)}.",
        ),
        click.Option(
            ["--source"],
            type=click.Choice(["hf", "modelscope"]),
            default="hf",
            show_default=True,
            help="The hub: Hugging Face or ModelScope.",
        ),
        _text("mirror", "URL", "Another server that speaks the hub's language."),
        _text("revision", "NAME", "Another version of the weights than the hub's main one."),
        _place("from_comfyui", "Use what lies in this ComfyUI folder, or its models folder."),
        _switch("copy", "With --from_comfyui: copy the files instead of linking to them."),
    )


def this_run() -> Sequence[click.Option]:
    """Of every command."""
    return (
        _switch("dry_run", "Print each command and change nothing."),
        _switch("verbose", "Show what the other programs say."),
    )


def _place(name: str, help: str, default: Path | None = None) -> click.Option:
    text = f"{help}  [default: {default}]" if default is not None else help
    # The default is converted too, so it is absolute.
    return click.Option([name, f"--{name}"], type=PlaceType(), default=default, metavar="PATH", help=text)


def _text(name: str, metavar: str, help: str) -> click.Option:
    return click.Option([f"{name}_" if name == "from" else name, f"--{name}"], metavar=metavar, help=help)


def _switch(name: str, help: str) -> click.Option:
    return click.Option([name, f"--{name}"], is_flag=True, help=help)
