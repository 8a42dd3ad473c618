"""The settings: one definition each, parsed once, all mistakes told at once, flags over settings file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import config
from config import GENERATION, PREPROCESSING, SETTINGS, SettingsError, load_job

BOTH = (PREPROCESSING, GENERATION)
NEEDED: dict[str, object] = {"video_path": "drive.mp4", "refer_path": "character.png"}


def job(stages: tuple[int, ...] = BOTH, settings_file: Path | None = None, **flags: object) -> config.Job:
    needed = NEEDED if PREPROCESSING in stages else {"src_root_path": "process_results"}
    return load_job(stages, {**needed, **flags}, settings_file)


def problems(
    stages: tuple[int, ...] = BOTH, settings_file: Path | None = None, **flags: object
) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as wrong:
        job(stages, settings_file, **flags)
    return tuple(map(str, wrong.value.problems))


def settings_file(folder: Path, text: str) -> Path:
    path = folder / "run.yaml"
    path.write_text(text, encoding="utf-8")
    return path


# ------------------------------------------------------------------------------------------- definition


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_says_what_it_is(name):
    setting = SETTINGS[name]
    assert setting.help.endswith(".") and len(setting.help) > 10
    assert setting.section and set(setting.stages) <= {1, 2, 3, 4} and setting.stages
    assert set(setting.used_by) <= set(config.ALL_ENGINES)
    default = config.DEFAULTS[name]
    if default not in (None, config.NO_PATH, config.SOURCE_FPS):
        assert setting.parse(default) == default, "a default is a value that could be given"


@given(
    name=st.sampled_from(list(SETTINGS)),
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.binary(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2),
        max_leaves=4,
    ),
)
def test_a_parser_returns_a_value_or_raises_value_error_with_words(name, value):
    try:
        SETTINGS[name].parse(value)
    except ValueError as expected:
        assert str(expected)


@pytest.mark.parametrize(
    ("name", "given_value", "parsed"),
    [
        ("resolution", "1280 720", (1280, 720)),
        ("resolution", "1280x720", (1280, 720)),
        ("resolution", "832X480", (832, 480)),
        ("resolution", [832, 480], (832, 480)),
        ("fps", "30", 30),
        ("fps", "source", -1),
        ("fps", "-1", -1),
        ("fps", -1, -1),
        ("iterations", "0", 0),
        ("sample_shift", "5", 5.0),
        ("sample_solver", "dpm++", "dpm++"),
        ("frame_num", "81", 81),
        ("refert_num", "5", 5),
        ("seed", "0", 0),
        ("prompt", "-a dash first", "-a dash first"),
    ],
)
def test_values_are_understood(name, given_value, parsed):
    assert SETTINGS[name].parse(given_value) == parsed


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("resolution", "1280", "two positive numbers"),
        ("resolution", "1280 0", "two positive numbers"),
        ("resolution", "-1280 720", "two positive numbers"),
        ("resolution", "1280 720 30", "two positive numbers"),
        ("resolution", "big", "two positive numbers"),
        ("resolution", 1280, "two positive numbers"),
        ("fps", "29.97", "29.97"),
        ("fps", "0", "whole number"),
        ("fps", "-2", "whole number"),
        ("frame_num", "76", "73 or 77"),
        ("frame_num", "1", "5 or 9"),
        ("frame_num", "3", "at least 5"),
        ("refert_num", "77", "1 or 5"),
        ("refert_num", "2", "1 or 5"),
        ("sample_steps", "0", "at least 1"),
        ("sample_shift", "nan", "a number"),
        ("sample_shift", "inf", "a number"),
        ("sample_solver", "euler", "unipc or dpm"),
        ("seed", "-1", "at least 0"),
        ("seed", str(2**64), "at most"),
        ("k", "-1", "at least 0"),
        ("replace", "yes", "true or false"),
        ("video_path", "", "a path"),
        ("prompt", "", "some text"),
    ],
)
def test_values_that_upstream_would_choke_on_are_refused_with_what_is_right(name, value, words):
    (message,) = [text for text in problems(**{name: value}) if name in text]
    assert message.startswith(f"--{name} must be ") and words in message and repr(value) in message


# ---------------------------------------------------------------------------------------- contradictions


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"use_flux": True, "retarget": False}, ("--use_flux", "Leave out --no_retarget or --use_flux")),
        ({"use_flux": True, "replace": True}, ("--use_flux", "Leave out one")),
        ({"retarget": True, "replace": True}, ("--retarget", "Leave out --retarget or --replace")),
        ({"use_relighting_lora": True}, ("--use_relighting_lora", "Add --replace")),
        ({"nproc_per_node": "2"}, ("--nproc_per_node", "Add --multi_gpu")),
        ({"multi_gpu": True}, ("--nproc_per_node N", "2, 4, 5, 8, 10, 20, 40")),
        ({"multi_gpu": True, "nproc_per_node": "3"}, ("divide", "2, 4, 5, 8, 10, 20, 40", "3")),
        ({"multi_gpu": True, "nproc_per_node": "1"}, ("divide", "2, 4")),
        ({"frame_num": "9", "refert_num": "5"}, ("--frame_num 9", "at least 13")),
        ({"output_path": "out.mov"}, ("--output_path", ".mp4", "out.mov")),
        ({"output_path": "out"}, ("--output_path", ".mp4")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else None,
)
def test_settings_that_do_not_go_together_are_refused(flags, words):
    (message,) = problems(**flags)
    assert all(word in message for word in words)


@pytest.mark.parametrize("count", [2, 4, 5, 8, 10, 20, 40])
def test_numbers_of_gpus_that_divide_the_heads_are_taken(count):
    assert job(multi_gpu=True, nproc_per_node=str(count)).nproc_per_node == count


@pytest.mark.parametrize(("frame_num", "refert_num"), [("5", "1"), ("13", "5"), ("77", "5")])
def test_windows_that_go_with_their_overlap_are_taken(frame_num, refert_num):
    assert job(frame_num=frame_num, refert_num=refert_num).frame_num == int(frame_num)


def test_all_mistakes_are_told_at_once():
    told = problems(fps="x", refert_num="3", use_relighting_lora=True, output_path="a.avi")
    assert len(told) == 4


def test_what_is_missing_is_told_with_its_meaning():
    with pytest.raises(SettingsError) as wrong:
        load_job(BOTH, {})
    assert [message.split()[0] for message in tuple(map(str, wrong.value.problems))] == [
        "--video_path",
        "--refer_path",
    ]
    with pytest.raises(SettingsError, match="--src_root_path is missing: Folder that stage 1 made"):
        load_job((GENERATION,), {})


# ----------------------------------------------------------------------------------------- settings file


def test_the_settings_file_gives_values_and_flags_win(tmp_path):
    path = settings_file(tmp_path, "fps: 24\nseed: 7\nresolution: 832x480\nretarget: false\n")
    made = job(settings_file=path, fps="16")
    assert (made.fps, made.seed, made.resolution, made.retarget) == (16, 7, (832, 480), False)
    assert made.given >= {"fps", "seed", "resolution", "retarget"} and "k" not in made.given


def test_the_file_takes_dashes_other_spellings_and_lists(tmp_path):
    path = settings_file(tmp_path, "save-file: out/x.mp4\nresolution: [640, 360]\nfps: source\n")
    made = job(settings_file=path)
    assert made.output_path == tmp_path / "out" / "x.mp4"
    assert (made.resolution, made.fps) == ((640, 360), -1)


def test_paths_in_the_file_are_relative_to_it_and_flags_to_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "settings").mkdir()
    monkeypatch.chdir(tmp_path)
    path = settings_file(tmp_path / "settings", "video_path: ../clip.mp4\nrefer_path: face.png\n")
    made = load_job(BOTH, {"output_path": "made.mp4"}, path)
    assert made.video_path == tmp_path / "clip.mp4"
    assert made.refer_path == tmp_path / "settings" / "face.png"
    assert made.output_path == tmp_path / "made.mp4"
    assert made.save_path == tmp_path / "process_results"


def test_one_file_serves_all_three_drivers(tmp_path):
    path = settings_file(
        tmp_path, "video_path: a.mp4\nrefer_path: b.png\nuse_flux: true\nseed: 3\nsrc_root_path: s\n"
    )
    assert load_job((GENERATION,), {}, path).src_root_path == tmp_path / "s"
    assert load_job((PREPROCESSING,), {}, path).use_flux
    assert job(settings_file=path).src_root_path == job(settings_file=path).save_path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("refer_pth: a.png\n", ("unknown setting 'refer_pth'", "did you mean 'refer_path'")),
        ("zzzz: 1\n", ("unknown setting 'zzzz'",)),
        ("given: [fps]\n", ("unknown setting 'given'",)),
        ("stages: [1]\n", ("unknown setting 'stages'",)),
        ("fps: 29.97\n", ("fps must be", "29.97")),
        ("fps: true\n", ("fps must be",)),
        ("prompt: yes\n", ("prompt must be some text",)),
        ("video_path: 5\n", ("video_path must be a path",)),
        ("- fps\n- 30\n", ("one setting a line",)),
        ("just text\n", ("one setting a line",)),
        ("fps: [30\n", ("is not a YAML file",)),
        ("prompt: 2001-13-45\n", ("is not a YAML file",)),
        ("prompt: !!python/object/apply:os.system [echo]\n", ("is not a YAML file",)),
    ],
)
def test_a_wrong_settings_file_is_refused_and_named(tmp_path, text, words):
    path = settings_file(tmp_path, text)
    told = problems(settings_file=path)
    assert len(told) == 1
    assert str(path) in told[0] and all(word in told[0] for word in words)


def test_a_required_setting_that_is_wrong_in_the_file_is_not_called_missing_too(tmp_path):
    path = settings_file(tmp_path, "video_path: 5\nrefer_path: a.png\n")
    with pytest.raises(SettingsError) as wrong:
        load_job(BOTH, {}, path)
    assert len(tuple(map(str, wrong.value.problems))) == 1


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path):
    assert "cannot be read" in problems(settings_file=tmp_path / "none.yaml")[0]
    assert "cannot be read" in problems(settings_file=tmp_path)[0]
    (tmp_path / "latin.yaml").write_bytes(b"prompt: caf\xe9\n")
    assert "is not a YAML file" in problems(settings_file=tmp_path / "latin.yaml")[0]


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "\ufefffps: 30\n"])
def test_an_empty_file_and_a_byte_order_mark_are_fine(tmp_path, text):
    assert job(settings_file=settings_file(tmp_path, text)).fps == 30


# ------------------------------------------------------------------------------------------------ the Job


def test_defaults_that_depend_on_other_settings_are_filled_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    animate, replace = job(), job(replace=True)
    assert (animate.retarget, replace.retarget) == (True, False)
    assert (animate.mode, replace.mode) == ("animate", "replace")
    assert job(retarget=False).retarget is False
    assert animate.src_root_path == animate.save_path == tmp_path / "process_results"
    assert animate.wan22_python == Path(sys.executable)
    generation = job((GENERATION,))
    assert generation.save_path == generation.src_root_path == tmp_path / "process_results"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX layout of a virtual environment")
def test_upstreams_own_environment_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    python = tmp_path / "checkout" / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    assert job(wan22_dir="checkout").wan22_python == python
    assert job(wan22_dir="checkout", wan22_python="own/python").wan22_python == tmp_path / "own" / "python"


def test_paths_are_absolute_and_links_keep_their_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.mp4").symlink_to(tmp_path / "elsewhere" / "clip.mp4")
    made = job(video_path="link.mp4", save_path="a/../b", refer_path="./-dash.png")
    assert made.video_path == tmp_path / "link.mp4"
    assert made.save_path == tmp_path / "b"
    assert made.refer_path == tmp_path / "-dash.png"


def test_a_tilde_is_the_home_folder_and_any_other_tilde_a_letter(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("USERPROFILE", "/home/somebody")
    made = job(video_path="~/clip.mp4", refer_path="~$nobody-of-that-name.png")
    assert made.video_path == Path("/home/somebody/clip.mp4")
    assert made.refer_path == tmp_path / "~$nobody-of-that-name.png"


def test_the_record_gets_plain_data_of_the_stage_and_nothing_that_shapes_nothing(tmp_path, monkeypatch):
    import json

    monkeypatch.chdir(tmp_path)
    made = job(replace=True)
    for stage in BOTH:
        values = made.values(stage)
        assert set(values) == {name for name, setting in SETTINGS.items() if stage in setting.stages}
        assert json.loads(json.dumps(values)) == values
    shaping = made.shaping_values(PREPROCESSING)
    assert shaping["resolution"] == [1280, 720] and shaping["replace"] is True
    assert not {name for name in shaping if SETTINGS[name].is_path} and "engine" not in shaping
    assert "use_flux" not in job(engine="preview").shaping_values(PREPROCESSING)
    assert "seed" in made.shaping_values(GENERATION)


def test_a_setting_of_another_stage_shapes_nothing():
    one: dict[str, Any] = job(seed="1").shaping_values(PREPROCESSING)
    assert one == job(seed="2").shaping_values(PREPROCESSING)
