"""Wheels from a mirror or a folder, and what to do by hand when one cannot be had or does not work."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, urlsplit

from set_up.errors import SetUpError
from set_up.flash_attn.names import WheelName, parse_wheel_name
from set_up.flash_attn.wheels import Choice, Machine, NoWheel, fits, published, unfit
from set_up.session import Session

_GUIDE = "scripts/install_flash_attn.md says how to do it by hand."


def from_elsewhere(
    place: str, machine: Machine, chosen: Choice | NoWheel, session: Session
) -> tuple[str, str]:
    """The wheel's address or file in another place than the project's own, and its name.

    Raises:
        SetUpError: the folder has none that fits; there is no name to ask an address for.
    """
    name = str(chosen.wheel.name) if isinstance(chosen, Choice) else None
    if urlsplit(place).scheme in ("http", "https"):
        if name is None:
            assert isinstance(chosen, NoWheel)  # noqa: S101  the other case is above
            raise SetUpError(chosen.why, by_hand(chosen), wrong_request=True)
        return f"{place.rstrip('/')}/{quote(name)}", name
    folder = Path(place).expanduser()
    if not folder.is_dir():
        raise SetUpError(f"--wheels_from: {place} is no folder and no http address.", wrong_request=True)
    there = sorted(path.name for path in folder.glob("flash_attn-*.whl"))
    for unusable in unfit().keys() & there:
        session.note(f"{unusable} is left alone: {unfit()[unusable]}.")
    fitting = [one for one in there if one not in unfit() and _fits(one, machine)]
    if name not in fitting:
        name = max(fitting, key=_newest, default=None)
    if name is None:
        asked = f" It would be {chosen.wheel.name}." if isinstance(chosen, Choice) else ""
        what = f"--wheels_from: none of the {len(there)} wheels of flash-attn in {folder} fits.{asked}"
        raise SetUpError(what, _GUIDE, wrong_request=True)
    return str(folder / name), name


def by_hand(none: NoWheel) -> str:
    """What there is to do without an official wheel, from the best to the slowest."""
    ways = []
    if none.torch_commands:
        ways.append(
            "There are wheels for these; install one with pip of the same Python, then run this again:"
        )
        ways += [f"    pip install {command}" for command in none.torch_commands]
    if none.community is not None:
        ways.append(f"With --community: {none.community.name}, built by {none.community.project}.")
    ways.append(
        "Without a wheel pip compiles flash-attn, for minutes to hours; that needs nvcc, ninja, and MAX_JOBS "
        f"against running out of memory. {_GUIDE}"
    )
    return "\n".join(ways)


def failed_download(error: SetUpError, wheel: str, name: str, python: Path) -> SetUpError:
    """What to say when pip could not install it."""
    page = next((known.page for known in published() if str(known.name) == name), None)
    where = f" (its releases: {page})" if page else ""
    hand = (
        f"Fetch {name}{where} with a browser or on another machine, then: "
        f"python scripts/install_flash_attn.py --python {python} --wheels_from FOLDER"
    )
    if "404" in error.what or "Not Found" in error.what:
        return SetUpError(f"There is no wheel at {wheel}.", hand)
    if any(sign in error.what for sign in ("Connection", "resolve host", "resolution", "timed out", "SSL")):
        return SetUpError(f"{wheel} could not be fetched.\n{error.what}", hand)
    return SetUpError(error.what, hand)


def failed_import(error: SetUpError, name: str, machine: Machine) -> SetUpError:
    """What to say when the installed wheel does not load."""
    if "undefined symbol" in error.what or "DLL load failed" in error.what:
        what = (
            f"{name} does not load: it was built for another torch than {machine.torch} of this environment."
        )
        remedy = "torch may have been replaced since: pip check tells. Reinstall it, then run this again."
    elif "GLIBC_" in error.what:
        what = f"{name} does not load: this system's C library is older than the wheel needs."
        remedy = "With --community there may be one for older systems (manylinux in its name)."
    else:
        what, remedy = f"{name} does not load.", ""
    return SetUpError(f"{what}\n{error.what}\nIt was taken out again.", f"{remedy} {_GUIDE}".strip())


def _fits(name: str, machine: Machine) -> bool:
    known = next((wheel.glibc for wheel in published() if str(wheel.name) == name), None)
    try:
        parsed = parse_wheel_name(name)
        return fits(parsed, machine, known or parsed.glibc)
    except ValueError:
        return False


def _newest(name: str) -> tuple[object, ...]:
    """To be the largest: the newest version, then one that says its C++ interface."""
    parsed: WheelName = parse_wheel_name(name)
    numbers = tuple(int("".join(filter(str.isdigit, part)) or 0) for part in parsed.version.split("."))
    return numbers, parsed.cxx11abi is not None
