"""Every file of the manifest hashed again, without a hub."""

from __future__ import annotations

from pathlib import Path

from execution.weights_hashes import hash_files
from set_up.errors import SetUpError
from set_up.session import Session
from set_up.weights.manifest import Manifest, manifest_path
from set_up.weights.progress import Bar, in_bytes


def check_known(ckpt_dir: Path) -> None:
    """Raises SetUpError where there is no manifest to compare with."""
    if not Manifest.read(ckpt_dir).files:
        raise SetUpError(
            f"Nothing is known of the weights in {ckpt_dir}: there is no {manifest_path(ckpt_dir)}.",
            "Run the same command without --verify: it compares what is there with the hub and fetches the "
            "rest.",
        )


def verify(ckpt_dir: Path, session: Session) -> bool:
    """Whether every file has its bytes still; says of each other one what is wrong, and forgets it.

    What is forgotten is fetched by the next run, which asks the hub for nothing else.

    Raises:
        SetUpError: a file cannot be read.
    """
    manifest = Manifest.read(ckpt_dir)
    wrong = _wrong_by_size(manifest)
    right_size = {ckpt_dir / name: name for name in manifest.files if name not in wrong}
    total = sum(manifest.files[name].size for name in right_size.values())
    if session.dry_run:
        session.say(f"{len(right_size)} files, {in_bytes(total)}, would be hashed")
        return not wrong
    wrong |= _wrong_by_hash(manifest, right_size, total, session)
    for name, what in sorted(wrong.items()):
        session.warn(f"{name} {what}")
        del manifest.files[name]
    try:
        manifest.write()
    except OSError as error:
        raise SetUpError(f"The list of verified weights cannot be written: {error}.") from error
    if wrong:
        session.say("Run the same command without --verify: it fetches these files again, and no others.")
        return False
    session.say(f"verified again: {len(manifest.files)} files, {in_bytes(total)}, all as they were")
    return True


def _wrong_by_size(manifest: Manifest) -> dict[str, str]:
    wrong = {}
    for name, known in manifest.files.items():
        try:
            size = (manifest.ckpt_dir / name).stat().st_size
        except OSError as error:
            link = (manifest.ckpt_dir / name).is_symlink()
            wrong[name] = "is a link to nothing" if link else f"is missing ({error.strerror})"
            continue
        if size != known.size:
            wrong[name] = f"has {size} bytes, not {known.size}"
    return wrong


def _wrong_by_hash(
    manifest: Manifest, paths: dict[Path, str], total: int, session: Session
) -> dict[str, str]:
    wrong = {}
    with Bar("verifying", total, session) as bar:
        try:
            hashes = hash_files(list(paths), lambda done, _: bar.show(done))
        except OSError as error:
            raise SetUpError(f"A file cannot be read: {error}.", "Mend its rights or its disk.") from error
    for path, sha256 in hashes.items():
        name = paths[path]
        known = manifest.files[name]
        if sha256 != known.sha256:
            wrong[name] = f"has other bytes: its SHA-256 is {sha256}, and was {known.sha256}"
    return wrong
