"""What a person reads of a search in ComfyUI's files: a table, a line of sums, and what to know."""

from __future__ import annotations

from collections.abc import Sequence

from set_up.comfyui.plan import POSE_MODEL, Task
from set_up.comfyui.unusable import DIFFUSION, unit_of
from set_up.session import Session
from set_up.weights.progress import in_bytes

_TITLES = {DIFFUSION: f"{DIFFUSION}*"}


def show(tasks: Sequence[Task], session: Session) -> None:
    """Print the table: what is needed, what was found, what is done."""
    from rich.table import Table
    from rich.text import Text

    table = Table("needed", "found", "done", title="From ComfyUI", title_justify="left", show_lines=True)
    units: dict[str, list[Task]] = {}
    for task in tasks:
        units.setdefault(unit_of(task.verdict.needed.path), []).append(task)
    for unit, some in units.items():
        title = f"{_TITLES.get(unit, unit)}, {in_bytes(sum(task.verdict.needed.size for task in some))}"
        title += f" in {len(some)} files" if len(some) > 1 else ""
        table.add_row(*(Text(cell, overflow="fold") for cell in (title, _found(some), _done(some, session))))
    session.console.print(table)
    _say_sums(tasks, session)


def _found(tasks: Sequence[Task]) -> str:
    lines = []
    for state, words in (("same bytes", "the same file"), ("same tensors", "the same tensors")):
        some = [task for task in tasks if task.verdict.state == state]
        if len(some) == 1:
            origin = some[0].origin
            lines.append(f"{words}: {origin.parent.name}/{origin.name}")
        elif some:
            folders = sorted({f"{task.origin.parent.name}/" for task in some})
            lines.append(f"{words}, {len(some)} of {len(tasks)}: {', '.join(folders[:2])}")
    lines += dict.fromkeys(reason for task in tasks for reason in task.verdict.reasons)
    if not lines:
        lines.append("nothing")
    return "\n".join(lines[:4])


def _done(tasks: Sequence[Task], session: Session) -> str:
    """Each thing that happens, with the number of files where there are several."""
    counts: dict[str, int] = {}
    for task in tasks:
        words = _in_words(task, session)
        counts[words] = counts.get(words, 0) + 1
    if len(tasks) == 1:
        return next(iter(counts))
    return "\n".join(f"{count} {words}" for words, count in counts.items())


def _in_words(task: Task, session: Session) -> str:
    if task.there:
        return f"{task.how} already"
    if task.how:
        return f"would be {task.how}" if session.dry_run else task.how
    if task.taken and task.verdict.state in ("same bytes", "same tensors"):
        return "another file is in its place; left as it is"
    return "there already" if task.taken else "left to the download"


def _say_sums(tasks: Sequence[Task], session: Session) -> None:
    used = [task for task in tasks if task.how]
    rest = sum(task.verdict.needed.size for task in tasks if not task.how and not task.taken)
    size = in_bytes(sum(task.verdict.needed.size for task in used))
    session.say(f"{len(used)} of {len(tasks)} files come from ComfyUI ({size}); {in_bytes(rest)} are left.")
    if any(task.how == "converted" for task in tasks):
        session.note(
            "Converted files have upstream's names, shapes and types. The numbers are ComfyUI's file's own: "
            "there is nothing to compare them with."
        )
    if any(task.how == "copied" and POSE_MODEL in task.target.as_posix() for task in tasks) and any(
        task.how == "linked" for task in tasks
    ):
        session.note("The pose model is copied: ONNX Runtime does not follow links to several folders.")
