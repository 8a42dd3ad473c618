"""flash-attn, put into a real environment by the real pip, from a folder and over HTTP. torch is a stub."""

from __future__ import annotations

import http.server
import io
import os
import subprocess
import sys
import threading
import venv
import zipfile
from functools import partial
from pathlib import Path

import pip
import pytest
from rich.console import Console

from set_up.errors import SetUpError
from set_up.flash_attn import installing
from set_up.flash_attn.installing import flash_attn_in_place, install_flash_attn, torch_machine
from set_up.session import Session
from tests.set_up.made_wheels import make_wheel

ROOT = Path(__file__).resolve().parents[2]
TAG = f"cp{sys.version_info[0]}{sys.version_info[1]}"
PLATFORM = "linux_x86_64"
OFFICIAL = f"flash_attn-2.8.3+cu12torch2.8cxx11abiTRUE-{TAG}-{TAG}-{PLATFORM}.whl"
OTHER_INTERFACE = OFFICIAL.replace("TRUE", "FALSE")
TORCH_2_7 = OFFICIAL.replace("torch2.8", "torch2.7")
WHOLE = {"flash_attn": '__version__ = "2.8.3"\n', "flash_attn_2_cuda": ""}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the official wheels are for Linux")


class Place:
    """A virtual environment with the real pip, and what was said while it was worked on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.EnvBuilder(with_pip=False, symlinks=True).create(folder / "env")
        self.python = folder / "env" / "bin" / "python"
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        self.packages = folder / "env" / "lib" / version / "site-packages"
        (self.packages / "pip").symlink_to(Path(pip.__file__).parent, target_is_directory=True)
        self.wheels = folder / "wheels"
        self.wheels.mkdir()
        self.said = io.StringIO()

    def session(self, *, dry_run: bool = False) -> Session:
        return Session(console=Console(file=self.said, width=400), dry_run=dry_run, verbose=True)

    def unpack(self, name: str, version: str, modules: dict[str, str] | None = None) -> None:
        """Installed as by pip, in a moment."""
        made = make_wheel(self.folder, name, version, modules)
        with zipfile.ZipFile(made) as archive:
            archive.extractall(self.packages)
        made.unlink()

    def torch(self, version: str = "2.8.0+cu128", cuda: str | None = "12.8", *, abi: bool = True) -> None:
        self.unpack(
            "torch",
            version,
            {
                "torch/__init__.py": "from torch import _C, version\n__version__ = version.__version__\n",
                "torch/_C.py": f"_GLIBCXX_USE_CXX11_ABI = {abi}\n",
                "torch/version.py": f"__version__ = {version!r}\ncuda = {cuda!r}\nhip = None\n",
            },
        )

    def wheel(self, name: str = OFFICIAL, modules: dict[str, str] | None = None) -> Path:
        """A wheel with a published name; inside, as in the real ones, the version has no tag."""
        made = make_wheel(self.folder, "flash-attn", name.split("-")[1].partition("+")[0], modules or WHOLE)
        return made.rename(self.wheels / name)

    def install(self, *, dry_run: bool = False, **options) -> str:
        self.said.truncate(0)
        self.said.seek(0)
        install_flash_attn(self.python, self.session(dry_run=dry_run), **options)
        return self.said.getvalue()

    def has(self, module: str) -> bool:
        command = [str(self.python), "-c", f"import {module}"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture
def place(tmp_path, monkeypatch) -> Place:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setattr(installing, "torch_machine", linux_machine)
    return Place(tmp_path)


def linux_machine(python: Path):
    """As asked, on the platform and C library of the made wheels, whatever runs the tests."""
    from dataclasses import replace

    return replace(torch_machine(python), platform=PLATFORM, glibc=(2, 35))


@pytest.fixture
def server(place):
    """The folder of wheels over HTTP; its address."""
    handler = partial(_Quiet, directory=str(place.wheels))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{serving.server_address[1]}"
        serving.shutdown()
        thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the tests' screen."""


def test_the_interpreter_itself_tells_what_decides(place):
    place.torch("2.7.1+cu126", "12.6", abi=False)
    machine = torch_machine(place.python)
    assert (machine.python, machine.torch, machine.cuda) == (TAG, "2.7.1+cu126", "12.6")
    assert machine.cxx11abi is False
    assert machine.platform == f"linux_{os.uname().machine}"


def test_it_is_installed_from_a_folder_imported_and_then_left_alone(place):
    place.torch()
    place.wheel()
    place.wheel(OTHER_INTERFACE)
    assert not flash_attn_in_place(place.python)
    said = place.install(wheels_from=str(place.wheels))
    assert f"-m pip install --no-deps --no-build-isolation {place.wheels / OFFICIAL}" in said.replace("'", "")
    assert "flash-attn 2.8.3 can be imported with torch 2.8.0+cu128" in said
    assert flash_attn_in_place(place.python)
    assert "is there, for torch 2.8.0+cu128" in (again := place.install(wheels_from=str(place.wheels)))
    assert "pip install" not in again


def test_it_is_installed_from_an_address(place, server):
    place.torch()
    place.wheel()
    said = place.install(wheels_from=server + "/")
    assert f"{server}/{OFFICIAL.replace('+', '%2B')}" in said
    assert place.has("flash_attn_2_cuda")


def test_an_address_without_the_wheel_is_named_with_what_to_do_by_hand(place, server):
    place.torch()
    with pytest.raises(SetUpError) as caught:
        place.install(wheels_from=server)
    assert f"There is no wheel at {server}/flash_attn-2.8.3" in caught.value.what
    assert "https://github.com/Dao-AILab/flash-attention/releases" in caught.value.remedy
    assert "--wheels_from FOLDER" in caught.value.remedy
    assert caught.value.exit_code == 1


def test_without_a_network_the_address_is_named(place):
    place.torch()
    with pytest.raises(SetUpError) as caught:
        place.install(wheels_from="http://127.0.0.1:9/none")
    assert "http://127.0.0.1:9/none/flash_attn" in caught.value.what
    assert "--wheels_from FOLDER" in caught.value.remedy


def test_one_for_another_torch_is_replaced(place):
    place.torch("2.7.1+cu126", "12.6")
    place.wheel(TORCH_2_7, {**WHOLE, "flash_attn": "__version__ = 'older'\n"})
    place.install(wheels_from=str(place.wheels))
    place.torch()
    for old in place.packages.glob("torch-2.7*/*"):
        old.unlink()
    place.wheel()
    assert not flash_attn_in_place(place.python)
    said = place.install(wheels_from=str(place.wheels))
    assert "was built for torch 2.7" in said
    assert "It is replaced." in said
    assert "--force-reinstall" in said
    assert flash_attn_in_place(place.python)


def test_one_in_which_pip_was_killed_is_not_taken_for_done(place):
    """Cut off at its last files, the modules there already; and with no metadata at all."""
    place.torch()
    place.wheel()
    place.unpack("flash-attn", "2.8.3", WHOLE)
    assert not flash_attn_in_place(place.python)
    for left in place.packages.glob("flash_attn-*/*"):
        left.unlink()
    assert not flash_attn_in_place(place.python)
    place.install(wheels_from=str(place.wheels))
    assert flash_attn_in_place(place.python)


def test_version_3_does_not_do_and_version_2_is_put_beside_it(place):
    place.torch()
    place.wheel()
    place.unpack("flash-attn-3", "3.0.0", {"flash_attn_interface.py": ""})
    said = place.install(wheels_from=str(place.wheels))
    assert "flash-attn-3 3.0.0 is there, but upstream needs version 2" in said
    assert place.has("flash_attn_2_cuda")
    assert place.has("flash_attn_interface")


def test_a_wheel_that_does_not_load_is_named_and_taken_out_again(place):
    place.torch()
    broken = {"flash_attn": "raise ImportError('flash_attn_2_cuda.so: undefined symbol: _ZN3c105ErrorC2E')\n"}
    place.wheel(modules={**WHOLE, **broken})
    with pytest.raises(SetUpError) as caught:
        place.install(wheels_from=str(place.wheels))
    assert f"{OFFICIAL} does not load: it was built for another torch than 2.8.0+cu128" in caught.value.what
    assert "undefined symbol: _ZN3c105ErrorC2E" in caught.value.what
    assert not place.has("flash_attn_2_cuda")
    assert not flash_attn_in_place(place.python)


def test_a_folder_without_one_that_fits_says_which_it_would_be(place):
    place.torch()
    place.wheel(OTHER_INTERFACE)
    place.wheel("flash_attn-2.8.3+cu128torch2.8.0cxx11abiFALSE-cp312-cp312-win_amd64.whl")
    with pytest.raises(
        SetUpError, match=r"none of the 2 wheels of flash-attn in .* fits\. It would be"
    ) as caught:
        place.install(wheels_from=str(place.wheels))
    assert OFFICIAL in caught.value.what
    assert "kingbri1" not in caught.value.what
    assert "is left alone: it is built without head sizes" in place.said.getvalue()


def test_a_folder_may_have_a_wheel_where_the_authors_have_none(place):
    place.torch("2.11.0+cu128")
    name = f"flash_attn-2.8.3+cu128torch2.11-{TAG}-{TAG}-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl"
    place.wheel(name)
    assert name in place.install(wheels_from=str(place.wheels))


@pytest.mark.parametrize(
    ("version", "cuda", "what", "remedy"),
    [
        ("2.8.0+cpu", None, "torch 2.8.0+cpu is a build without CUDA", "setup_wan22.py --only env"),
        (
            "2.11.0+cu128",
            "12.8",
            "No ready-made wheel of flash-attn 2 is for torch 2.11.0",
            "pip install torch==2.",
        ),
    ],
)
def test_no_wheel_is_said_before_anything_is_started(place, version, cuda, what, remedy):
    place.torch(version, cuda)
    with pytest.raises(SetUpError) as caught:
        place.install()
    assert what in caught.value.what
    assert remedy in caught.value.remedy
    assert caught.value.exit_code == 2
    assert "pip install --no-deps" not in place.said.getvalue()


def test_without_an_official_wheel_all_ways_are_told(place):
    place.torch("2.11.0+cu128")
    with pytest.raises(SetUpError) as caught:
        place.install()
    remedy = caught.value.remedy
    assert "--index-url https://download.pytorch.org/whl/cu128" in remedy
    assert "With --community: flash_attn-2.8.3+cu128torch2.11" in remedy
    assert "MAX_JOBS" in remedy


def test_an_environment_without_torch_is_refused_and_shown_as_a_pattern_in_a_dry_run(place):
    with pytest.raises(SetUpError, match="has no torch"):
        place.install()
    assert "flash_attn-2.8.3+cu{CUDA}torch{TORCH}cxx11abi" in place.install(dry_run=True)
    place.python = place.folder / "nowhere" / "python"
    with pytest.raises(SetUpError, match="cannot be started"):
        place.install()
    assert "flash_attn-2.8.3+cu{CUDA}" in place.install(dry_run=True)


def test_a_torch_that_does_not_load_is_named(place):
    place.unpack("torch", "2.8.0", {"torch": "raise OSError('libcudart.so.12: cannot open')\n"})
    with pytest.raises(SetUpError, match=r"torch cannot be imported by .*libcudart.so.12: cannot open"):
        place.install()


def test_a_dry_run_prints_the_one_command_and_installs_nothing(place):
    place.torch()
    said = place.install(dry_run=True)
    address = "https://github.com/Dao-AILab/flash-attention/releases/download/v2.8.3/"
    assert f"-m pip install --no-deps --no-build-isolation {address}{OFFICIAL.replace('+', '%2B')}" in said
    assert not place.has("flash_attn")


def test_a_gpu_before_ampere_is_refused_and_none_at_all_is_not(place, monkeypatch):
    place.torch()
    place.wheel()
    monkeypatch.setenv("STANDIN_GPUS", "1x16")
    monkeypatch.setenv("STANDIN_GPU_GENERATION", "7.5")
    with pytest.raises(SetUpError, match=r"compute capability 7\.5; flash-attn 2 needs 8\.0") as caught:
        place.install(wheels_from=str(place.wheels))
    assert caught.value.exit_code == 2
    monkeypatch.setenv("STANDIN_GPUS", "")
    assert "can be imported" in place.install(wheels_from=str(place.wheels))


def test_the_script_answers_with_exit_codes_and_takes_both_spellings(place):
    place.torch("2.8.0+cpu", None)
    command = [sys.executable, str(ROOT / "scripts" / "install_flash_attn.py"), "--python", str(place.python)]
    done = subprocess.run([*command, "--dry-run"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "build without CUDA" in done.stderr
    done = subprocess.run(
        [*command, "--dry_run", "--wheels_from"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
