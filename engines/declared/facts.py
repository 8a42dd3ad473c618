"""What a record says of a tool: its commit, its Python, its packages."""

from __future__ import annotations

from typing import Any

from config import Job
from engines.declared.tool import Tool
from engines.wan22.checkout import commit_of
from engines.wan22.interpreter import InterpreterError, probe_interpreter


def of_tool(job: Job) -> dict[str, Any]:
    """Plain data, nothing secret."""
    commit = commit_of(job.tool_dir)
    try:
        interpreter = probe_interpreter(job.tool_python)
    except InterpreterError:
        return {"tool_commit": commit}
    return {
        "tool_commit": commit,
        "tool_python": ".".join(map(str, interpreter.python)),
        "tool_packages": dict(sorted(interpreter.packages.items())),
    }


def of_run(tool: Tool, job: Job, log: str) -> dict[str, Any]:
    """Facts of one of its commands that ended well."""
    return {"tool": tool.url, **of_tool(job)}
