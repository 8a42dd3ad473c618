"""The checkout: cloned whole or not at all, verified where it is there, never changed. With the real git."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from engines.wan22 import checkout
from set_up.errors import SetUpError
from set_up.repository import RepositoryRequest, set_up_repository
from set_up.session import Session

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
_WHO = {f"GIT_{who}_{what}": "x@y.z" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


@pytest.fixture(autouse=True)
def own_settings(monkeypatch, tmp_path):
    """No settings of the machine's user."""
    for name in list(os.environ):
        if name.startswith("GIT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("UNDERSTUDY_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def heard() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def session(heard) -> Session:
    return Session(console=Console(file=heard, width=200, highlight=False))


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *words],
        env={**os.environ, **_WHO},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture
def upstream(tmp_path) -> tuple[Path, str]:
    """A repository with two commits, and the first one, which is the pinned one here."""
    folder = tmp_path / "upstream"
    for script in (checkout.GENERATE_SCRIPT, checkout.PREPROCESS_SCRIPT):
        (folder / script).parent.mkdir(parents=True, exist_ok=True)
        (folder / script).write_text("print('first')\n")
    git(folder.parent, "init", "--quiet", "--initial-branch", "main", str(folder))
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "first")
    pinned = git(folder, "rev-parse", "HEAD")
    (folder / checkout.GENERATE_SCRIPT).write_text("print('second')\n")
    git(folder, "commit", "--quiet", "-am", "second")
    return folder, pinned


def request(upstream: tuple[Path, str], place: Path, **changes: str) -> RepositoryRequest:
    wanted = {"source": str(upstream[0]), "commit": upstream[1], **changes}
    return RepositoryRequest(wan22_dir=place, **wanted)


@pytest.mark.parametrize("address", ["{0}", "file://{0}"])
def test_the_pinned_commit_is_cloned_though_it_is_not_the_newest(upstream, tmp_path, session, address):
    place = tmp_path / "here" / "Wan2.2"
    set_up_repository(request(upstream, place, source=address.format(upstream[0])), session)
    assert (place / checkout.GENERATE_SCRIPT).read_text() == "print('first')\n"
    assert checkout.commit_of(place) == upstream[1] == git(place, "rev-parse", "HEAD")
    assert git(place, "status", "--porcelain") == ""
    assert git(place, "rev-list", "--count", "HEAD") == "1"
    assert not list((tmp_path / "here" / ".understudy").glob("*.clone"))


def test_an_empty_folder_is_taken_as_the_place(upstream, tmp_path, session):
    place = tmp_path / "Wan2.2"
    place.mkdir()
    set_up_repository(request(upstream, place), session)
    assert checkout.commit_of(place) == upstream[1]


def test_what_a_killed_clone_left_is_cleared_away(upstream, tmp_path, session):
    left = tmp_path / ".understudy" / "Wan2.2.clone"
    (left / ".git").mkdir(parents=True)
    (left / ".git" / "HEAD.lock").touch()
    (left / "generate.py").write_text("half")
    set_up_repository(request(upstream, tmp_path / "Wan2.2"), session)
    assert checkout.commit_of(tmp_path / "Wan2.2") == upstream[1]
    assert not left.exists()


def test_a_server_that_hands_out_no_single_commits_is_fetched_whole_and_that_is_said(
    upstream, tmp_path, session, heard, monkeypatch
):
    """A server of the older protocol gives commits only that a branch points to."""
    git(upstream[0], "config", "uploadpack.allowAnySHA1InWant", "false")
    for name, value in (("COUNT", "1"), ("KEY_0", "protocol.version"), ("VALUE_0", "0")):
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    place = tmp_path / "Wan2.2"
    set_up_repository(request(upstream, place, source=f"file://{upstream[0]}"), session)
    assert checkout.commit_of(place) == upstream[1]
    assert "all of its history is fetched" in heard.getvalue()


def test_a_mirror_without_the_commit_is_an_error_that_names_both(upstream, tmp_path, session):
    with pytest.raises(SetUpError, match=f"has no commit {'0' * 39}1") as raised:
        set_up_repository(request(upstream, tmp_path / "Wan2.2", commit="0" * 39 + "1"), session)
    assert str(upstream[0]) in raised.value.what and raised.value.exit_code == 1
    assert not (tmp_path / "Wan2.2").exists()


def test_another_repository_is_not_taken_for_it(upstream, tmp_path, session):
    shutil.rmtree(upstream[0] / "wan")
    git(upstream[0], "commit", "--quiet", "-am", "gone")
    other = git(upstream[0], "rev-parse", "HEAD")
    with pytest.raises(SetUpError, match="is no Wan2"):
        set_up_repository(request(upstream, tmp_path / "Wan2.2", commit=other), session)
    assert not (tmp_path / "Wan2.2").exists()


def test_an_address_that_leads_nowhere_is_gits_own_error_with_a_remedy(upstream, tmp_path, session):
    with pytest.raises(SetUpError, match="git fetch failed") as raised:
        set_up_repository(request(upstream, tmp_path / "Wan2.2", source=str(tmp_path / "none")), session)
    assert "does not appear to be a git repository" in raised.value.what
    assert "--from" in raised.value.remedy


def test_a_password_in_the_address_is_not_shown(upstream, tmp_path, session, heard):
    address = "http://someone:geheim123@127.0.0.1:9/x.git"
    with pytest.raises(SetUpError) as raised:
        set_up_repository(request(upstream, tmp_path / "Wan2.2", source=address), session)
    assert "geheim123" not in heard.getvalue() + str(raised.value)
    assert "127.0.0.1" in heard.getvalue()


# ---------------------------------------------------------------------------------- what is there already


@pytest.fixture
def cloned(upstream, tmp_path, session) -> Path:
    place: Path = tmp_path / "Wan2.2"
    set_up_repository(request(upstream, place), session)
    return place


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_checkout_that_is_right_is_left_alone_without_git(cloned, upstream, session, heard, monkeypatch):
    monkeypatch.setenv("PATH", "")
    before, said = contents(cloned), len(heard.getvalue())
    set_up_repository(request(upstream, cloned), session)
    assert contents(cloned) == before
    assert f"at commit {upstream[1][:7]}" in heard.getvalue()[said:]
    assert "warning" not in heard.getvalue()


def test_another_commit_is_reported_and_kept(cloned, upstream, session, heard):
    newest = git(upstream[0], "rev-parse", "HEAD")
    git(cloned, "fetch", "--quiet", "origin", "main")
    git(cloned, "checkout", "--quiet", "FETCH_HEAD")
    set_up_repository(request(upstream, cloned), session)
    assert checkout.commit_of(cloned) == newest
    assert f"is at commit {newest[:7]}; Understudy was written for {upstream[1][:7]}" in heard.getvalue()


def test_edited_and_missing_files_are_reported_and_kept(
    cloned, upstream, session, heard, monkeypatch, tmp_path
):
    import hashlib
    import json

    names = (checkout.GENERATE_SCRIPT.as_posix(), checkout.PREPROCESS_SCRIPT.as_posix())
    table = {name: hashlib.sha256((cloned / name).read_bytes()).hexdigest() for name in names}
    (tmp_path / "table.json").write_text(json.dumps({"files": {**table, "wan/gone.py": "0" * 64}}))
    monkeypatch.setattr(checkout, "_TABLE", tmp_path / "table.json")
    (cloned / checkout.GENERATE_SCRIPT).write_text("mine\n")
    set_up_repository(request(upstream, cloned), session)
    assert (cloned / checkout.GENERATE_SCRIPT).read_text() == "mine\n"
    said = heard.getvalue()
    assert "generate.py" in said and "differ from the published commit" in said
    assert "wan/gone.py" in said and "are missing" in said


@pytest.mark.parametrize("what", ["file", "other files", "half a clone"])
def test_something_else_in_the_place_is_refused_and_kept(upstream, tmp_path, session, what):
    place = tmp_path / "Wan2.2"
    if what == "file":
        place.write_text("mine")
    else:
        inside = place / (".git" if what == "half a clone" else "pictures")
        inside.mkdir(parents=True)
        (inside / "x").write_text("mine")
    with pytest.raises(SetUpError, match="is not empty and is no checkout") as raised:
        set_up_repository(request(upstream, place), session)
    assert raised.value.exit_code == 2 and "--wan22_dir" in raised.value.remedy
    assert "mine" in (place if what == "file" else inside / "x").read_text()


def test_without_git_it_is_refused(upstream, tmp_path, session, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SetUpError, match="git is not installed") as raised:
        set_up_repository(request(upstream, tmp_path / "Wan2.2"), session)
    assert raised.value.exit_code == 2


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_is_refused(upstream, tmp_path, session):
    (tmp_path / "locked").mkdir(mode=0o555)
    with pytest.raises(SetUpError, match="cannot be written"):
        set_up_repository(request(upstream, tmp_path / "locked" / "Wan2.2"), session)


def test_a_file_where_a_folder_should_be_is_refused(upstream, tmp_path, session):
    (tmp_path / "file").write_text("x")
    with pytest.raises(SetUpError, match="cannot be written") as raised:
        set_up_repository(request(upstream, tmp_path / "file" / "Wan2.2"), session)
    assert raised.value.exit_code == 2


def test_a_dry_run_prints_the_commands_and_changes_nothing(upstream, tmp_path, heard):
    session = Session(console=Console(file=heard, width=200), dry_run=True)
    before = sorted(tmp_path.iterdir())
    set_up_repository(request(upstream, tmp_path / "Wan2.2"), session)
    assert sorted(tmp_path.iterdir()) == before
    commands = [line for line in heard.getvalue().splitlines() if "$ " in line]
    assert [line.split(" -C ")[1].split()[1] for line in commands][:3] == ["init", "remote", "fetch"]
    assert upstream[1] in commands[-1] and "checkout" in commands[-1]
