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
from command_line import run_option_help

BEGIN, END = "<!-- flags: written by scripts/generate_docs.py -->", "<!-- end of flags -->"


def flag_tables() -> str:
    """Every flag of the three drivers, one table for each section, in Markdown."""
    sections: dict[str, list[str]] = {}
    for name, setting in config.SETTINGS.items():
        default = setting.default_text
        if default is None:
            value = config.DEFAULTS[name]
            default = "" if value in (None, config.NO_PATH) else "off" if value is False else str(value)
        if setting.required:
            default = "required"
        flags = " ".join(f"`--{flag}`" for flag in (name, *setting.spellings))
        if setting.negative:
            flags += f" `--{setting.negative}`"
        stages = " and ".join(map(str, setting.stages))
        row = f"| {flags} | {stages} | {default.replace('<', '&lt;')} | {setting.help} |"
        sections.setdefault(setting.section, []).append(row)
    tables = []
    for title, rows in sections.items():
        tables += [f"**{title}**", "", "| flag | stage | default | |", "|---|---|---|---|", *rows, ""]
    tables += ["**This run**", "", "| flag | |", "|---|---|"]
    tables += [f"| `--{flag}` | {text} |" for flag, text in run_option_help().items()]
    return "\n".join(tables)


def with_flags(text: str) -> str:
    """A document with the block between the two marks written anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{flag_tables()}\n{END}{after}"


def main() -> int:
    """Write the README's flags."""
    readme = ROOT / "README.md"
    readme.write_text(with_flags(readme.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
