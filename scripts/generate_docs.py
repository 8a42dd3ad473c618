#!/usr/bin/env python3
"""Write the parts of the documents that repeat the program: ``python scripts/generate_docs.py``.

A test runs the same code and fails when a document has drifted.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import config
from commands.command_line import run_option_help
from engines import load_all_findings
from scripts.memory_tables import gpu_table, host_table

_STAGES = {
    config.PREPROCESSING: "1",
    config.GENERATION: "2",
    config.FINISHING: "finish",
    config.MASKING: "mask",
}
_BEGIN, _END = "<!-- {0}: written by scripts/generate_docs.py -->", "<!-- end of {0} -->"


def flag_tables() -> str:
    """Every flag of the three drivers, one table for each section, in Markdown."""
    sections: dict[str, list[str]] = {}
    for name, setting in config.SETTINGS.items():
        default = setting.default_text
        if default is None:
            value = config.DEFAULTS[name]
            default = "" if value in (None, config.NO_PATH) else "off" if value is False else str(value)
        if setting.required_in:
            default = "required"
        flags = " ".join(f"`--{flag}`" for flag in (name, *setting.spellings))
        if setting.negative:
            flags += f" `--{setting.negative}`"
        stages = " and ".join(_STAGES[stage] for stage in setting.stages)
        row = f"| {flags} | {stages} | {default.replace('<', '&lt;')} | {setting.help} |"
        sections.setdefault(setting.section, []).append(row)
    tables = []
    for title, rows in sections.items():
        tables += [f"**{title}**", "", "| flag | stage | default | |", "|---|---|---|---|", *rows, ""]
    tables += ["**This run**", "", "| flag | |", "|---|---|"]
    tables += [f"| `--{flag}` | {text} |" for flag, text in run_option_help().items()]
    return "\n".join(tables)


def with_flags(text: str) -> str:
    """The README with its tables of flags written anew."""
    return _with_block(text, "flags", flag_tables())


def with_memory(text: str) -> str:
    """docs/install.md with its two calculated tables written anew."""
    return _with_block(_with_block(text, "GPU memory", gpu_table()), "host memory", host_table())


def _with_block(text: str, name: str, block: str) -> str:
    """A document with the block between the two marks of that name written anew."""
    begin, end = _BEGIN.format(name), _END.format(name)
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{block}\n{end}{after}"


_AREAS = {
    "settings": "The request",
    "path": "Paths",
    "media": "The driving video",
    "reference": "The reference image",
    "source": "The folder between the stages",
    "mask": "The mask by clicks",
    "output": "The result's place",
    "finish": "The finish",
    "install": "The installation",
    "machine": "The machine",
    "gpus": "Several GPUs",
    "diffusers": "Wan-Animate on diffusers",
    "frame": "Frame models",
    "animate2": "Wan-Animate-2",
    "look": "What `--look` sees",
    "record": "Records",
    "animatediff": "AnimateDiff",
}


def findings_page() -> str:
    """docs/findings.md: every finding that there is, by area."""
    lines = [
        "# Findings",
        "",
        "What a check can say, before anything starts. `python pipeline.py --check ...` only checks; every",
        "run checks first. An **error** stops with exit code 2; `--ignore CODE` lets a run go on in spite of",
        "it, if you know better. **Warnings** and **notes** never stop. `--check --json` gives it as data.",
        "",
        "This page is written by `python scripts/generate_docs.py` from the code.",
    ]
    found: dict[str, list[str]] = {area: [] for area in _AREAS}
    for code, kind in sorted(load_all_findings().items()):
        row = f"| `{code}` | {kind.level} | {kind.summary} | {kind.why} |"
        found[code.partition(".")[0]].append(row.replace("<", "&lt;"))
    for area, title in _AREAS.items():
        lines += ["", f"## {title}", "", "| code | level | what | why it matters |", "|---|---|---|---|"]
        lines += found[area]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the README's flags, the memory that install.md calculates, and the page of findings."""
    for name, renewed in (("README.md", with_flags), ("docs/install.md", with_memory)):
        page = ROOT / name
        page.write_text(renewed(page.read_text(encoding="utf-8")), encoding="utf-8")
    (ROOT / "docs" / "findings.md").write_text(findings_page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
