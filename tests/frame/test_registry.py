"""Models by name: ours, registered ones, those of installed packages; and the YAML file that names one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engines.frame import registry
from engines.frame.configuration import ConfigurationError, ConfigurationUnreadable, read_configuration
from engines.frame.model import ModelError
from tests.workplace import ROOT

MODEL = """
from engines.frame.model import BaseAnimationModel

class Mine(BaseAnimationModel):
    path_required = False
    def __init__(self, model_path=None, gpu_id=0, *, strength=1.0):
        super().__init__(model_path, gpu_id)
        self.strength = strength
    def load_model(self):
        return True
    def preprocess_source_image(self, image):
        return image
    def animate(self, source_image, driving_landmarks, return_intermediate=False):
        picture = self.source(source_image).copy()
        picture[: 2 + driving_landmarks["index"] * 3] = 255
        return picture

class NotOne:
    pass
"""


def install(folder: Path, *points: str, package: str = "my-models") -> Path:
    """A package as pip leaves it: a module, and its metadata with entry points."""
    folder.mkdir(exist_ok=True)
    (folder / "my_models.py").write_text(MODEL, encoding="utf-8")
    metadata = folder / f"{package.replace('-', '_')}-1.5.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.5\n")
    lines = "\n".join(points)
    (metadata / "entry_points.txt").write_text(f"[understudy.frame_models]\n{lines}\n")
    return folder


def test_a_users_package_adds_a_model_without_touching_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(install(tmp_path / "site", "mine = my_models:Mine"))
    entry = registry.entry_of("mine")
    assert entry.brought_by == "my-models 1.5"
    assert "my_models" not in sys.modules, "nothing is imported before the model is chosen"
    found = registry.class_of(entry)
    assert found.__name__ == "Mine" and registry.keys_of(found) == ("strength",)
    del sys.modules["my_models"]


def test_two_models_of_one_name_are_an_error_that_names_both_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(install(tmp_path / "one", "mine = my_models:Mine"))
    monkeypatch.syspath_prepend(install(tmp_path / "two", "mine = my_models:Mine", package="other-models"))
    with pytest.raises(
        registry.DuplicateModel, match=r"'mine': one of \S+-models 1.5, one of \S+-models 1.5"
    ):
        registry.entries()
    with pytest.raises(registry.DuplicateModel, match="'onnx'"):
        registry.register("onnx", "elsewhere:Model")


def test_an_unknown_model_is_told_the_known_ones() -> None:
    with pytest.raises(registry.UnknownModel, match=r"did you mean 'puppet'\? \(there are onnx, puppet\)"):
        registry.entry_of("pupet")


def test_what_is_no_model_or_cannot_be_imported_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = install(tmp_path / "site", "no = my_models:NotOne", "gone = my_models:Gone", "none = no_module:X")
    monkeypatch.syspath_prepend(site)
    with pytest.raises(ModelError, match="is not a BaseAnimationModel"):
        registry.class_of(registry.entry_of("no"))
    for name in ("gone", "none"):
        with pytest.raises(ModelError, match=r"of my-models 1\.5, .* cannot be imported"):
            registry.class_of(registry.entry_of(name))
    del sys.modules["my_models"]


def test_neither_torch_nor_onnxruntime_is_imported_to_know_the_models_and_to_check() -> None:
    code = (
        "import sys, engines.frame.check, engines.frame.registry as registry; registry.entries(); "
        "sys.exit(bool({'torch', 'onnxruntime', 'onnx'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def write(folder: Path, text: str) -> Path:
    path = folder / "model.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_file_says_model_file_gpu_batch_policy_and_the_models_own_keys(tmp_path: Path) -> None:
    text = (
        "animation:\n  model: onnx\n  model_path: weights/face.onnx\n  gpu_id: 1\n  batch_size: auto\n"
        "  missing: skip\n  onnx:\n    range: [0, 255]\n  puppet:\n"
    )
    found = read_configuration(write(tmp_path, text), ("onnx", "puppet"))
    assert found.model_path == tmp_path / "weights/face.onnx", "relative to the file"
    assert (found.model, found.gpu_id, found.batch_size, found.missing) == ("onnx", 1, None, "skip")
    assert found.options == {"range": [0, 255]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("animation: [", "is not a YAML file"),
        ("model: onnx", "one section, 'animation:'"),
        ("", "one section, 'animation:'"),
        ("animation: {model_path: x}", "'model' is missing"),
        ("animation: {model: onnx, batchsize: 3}", "unknown key 'batchsize'; did you mean 'batch_size'"),
        ("animation: {model: onnx, batch_size: 0}", "from 1 to 1024 or auto; it is 0"),
        ("animation: {model: onnx, batch_size: true}", "it is True"),
        ("animation: {model: onnx, gpu_id: -1}", "'gpu_id' must be"),
        ("animation: {model: onnx, missing: guess}", "one of hold, source, skip, fail"),
        ("animation: {model: onnx, onnx: 3}", "the model's own keys"),
        ("animation: {model: onnx, model_path: 3}", "'model_path' must be a path"),
    ],
)
def test_what_is_wrong_in_the_file_is_said(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        read_configuration(write(tmp_path, text), ("onnx", "puppet"))


def test_a_file_that_is_not_there_is_another_cause(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationUnreadable, match="cannot be read"):
        read_configuration(tmp_path / "none.yaml", ("onnx",))
