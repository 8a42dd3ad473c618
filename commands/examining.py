"""The doctor's report: what every engine needs of the installation and the machine, and how it is here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import config
from commands.showing import print_problem, print_result
from config import ALL_ENGINES, DEFAULTS, Job, SettingsError
from engines.interface import Examined

if TYPE_CHECKING:
    from rich.console import Console

EXIT_CANNOT_RUN, EXIT_WRONG_REQUEST = 1, 2
_MASK: Final = "mask"
_COLOURS: Final = {"works": "green", "warning": "yellow", "missing": "bold red", "optional": "dim"}
_WORDS: Final = {"optional": "not there"}


@dataclass(frozen=True)
class Report:
    """Everything that was looked at, by engine."""

    examined: Mapping[str, tuple[Examined, ...]]

    def can_run(self, engine: str) -> bool:
        """Whether nothing is missing that the engine cannot do without."""
        return all(thing.state != "missing" for thing in self.examined[engine])

    def as_data(self) -> dict[str, Any]:
        """As plain data."""
        engines = {
            name: {
                "can_run": self.can_run(name),
                "areas": [_as_data(thing) for thing in things],
            }
            for name, things in self.examined.items()
        }
        default = str(DEFAULTS["engine"])
        return {"default_engine": default, "engines": engines}


def _as_data(thing: Examined) -> dict[str, Any]:
    return {
        "area": thing.area,
        "state": thing.state,
        "needed": thing.needed,
        "found": "" if thing.findings else thing.fine,
        "findings": [asdict(finding) for finding in thing.findings],
        "mend": thing.mend if thing.findings else "",
    }


def examine(job: Job) -> Report:
    """Look at everything. Nothing is started, changed, or asked of the network."""
    from engines import load_engine
    from engines.masking import MASK_STEP

    examined = {name: tuple(load_engine(name).examine(job)) for name in ALL_ENGINES}
    examined[_MASK] = tuple(MASK_STEP.examine(job))
    return Report(examined)


def answer(flags: Mapping[str, object], console: Console, *, engine: str, as_json: bool) -> int:
    """From the doctor's flags to its exit code: 0 when the engine can run here.

    The report goes to standard output.
    """
    try:
        job = config.job_without_media({**flags, "engine": engine})
        if engine not in ALL_ENGINES:
            from engines import load_engine

            load_engine(engine)  # which says what there is
    except SettingsError as error:
        for problem in error.problems:
            print_problem(console, "error", str(problem))
        return EXIT_WRONG_REQUEST
    report = examine(job)
    if as_json:
        print_result(json.dumps(report.as_data(), indent=2, ensure_ascii=False))
    else:
        show(report)
    return 0 if report.can_run(engine) else EXIT_CANNOT_RUN


def show(report: Report) -> None:
    """A table for each engine, on standard output. Lines are not broken: commands are there to be copied."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, emoji=False)
    width = max(len(thing.area) for things in report.examined.values() for thing in things) + 2
    for name, things in report.examined.items():
        console.print(Text(_title(name, report), style="bold"), soft_wrap=True)
        for thing in things:
            state = Text(f"  {_WORDS.get(thing.state, thing.state):<11}", style=_COLOURS[thing.state])
            first, *more = _found(thing)
            console.print(state, f"{thing.area:<{width}}{first}", sep="", soft_wrap=True, markup=False)
            for line in more:
                console.print(" " * (13 + width), line, sep="", soft_wrap=True, markup=False)
        console.print()


def _title(name: str, report: Report) -> str:
    if name == _MASK:
        return "The mask step, which works with every engine:"
    return f"{name}: " + ("can run here" if report.can_run(name) else "cannot run here yet")


def _found(thing: Examined) -> list[str]:
    if not thing.findings:
        return [thing.fine]
    lines = [finding.what if thing.mend else finding.as_text() for finding in thing.findings]
    return [*lines, *([f"run: {thing.mend}"] if thing.mend else [])]
