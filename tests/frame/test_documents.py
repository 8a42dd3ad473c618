"""The documents of frame models say what the program takes."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

from engines.frame.configuration import POLICIES, read_configuration
from engines.frame.model import BaseAnimationModel, Driving
from engines.frame.onnx_description import KEYS
from engines.frame.onnx_model import OnnxModel
from engines.frame.registry import GROUP, keys_of
from tests.workplace import ROOT

PAGES = ROOT / "docs" / "models"


def block(page: str, language: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", (PAGES / page).read_text(encoding="utf-8"), re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def test_every_key_of_an_onnx_model_is_documented() -> None:
    page = (PAGES / "onnx.md").read_text(encoding="utf-8")
    keys = set(re.findall(r"^\| `(\w+)|, `(\w+)` \|", page, re.MULTILINE))
    documented = {each for pair in keys for each in pair if each} | set(re.findall(r"`(\w+)[.`]", page))
    assert set(keys_of(OnnxModel)) <= documented
    assert set(keys_of(OnnxModel)) == {*KEYS, "providers", "threads"}
    assert all(f"`{policy}`" in page for policy in POLICIES)


def test_the_yaml_of_both_pages_can_be_read(tmp_path: Path) -> None:
    for page, model in (("onnx.md", "onnx"), ("TEMPLATE.md", "my_model")):
        path = tmp_path / "model.yaml"
        path.write_text(block(page, "yaml"), encoding="utf-8")
        assert read_configuration(path, ("onnx", "puppet")).model == model


def test_the_template_is_a_model_of_the_methods_that_there_are() -> None:
    tree = ast.parse(block("TEMPLATE.md", "python"))
    methods = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert {*BaseAnimationModel.__abstractmethods__} <= methods
    assert all(hasattr(BaseAnimationModel, name) for name in methods)
    project = tomllib.loads(block("TEMPLATE.md", "toml"))
    assert GROUP in project["project"]["entry-points"]


def test_the_template_names_everything_that_a_driving_frame_holds() -> None:
    page = (PAGES / "TEMPLATE.md").read_text(encoding="utf-8")
    assert [key for key in Driving.__annotations__ if f"`{key}`" not in page] == []
