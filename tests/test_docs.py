"""The documents say what the program does, and their links lead somewhere."""

import re
import sys

import pytest

from scripts.generate_docs import ROOT, findings_page, with_flags, with_memory

DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_readme_lists_every_flag_as_the_program_has_it():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme == with_flags(readme), "run: python scripts/generate_docs.py"


@pytest.mark.skipif(sys.platform == "win32", reason="its empty files would take their whole size on the disk")
def test_the_memory_that_is_calculated_is_as_the_program_calculates_it():
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    assert page == with_memory(page), "run: python scripts/generate_docs.py"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_local_links_lead_to_files(document):
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    missing = [link for link in local if not (document.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_scripts_that_a_document_runs_exist(document):
    scripts = re.findall(r"python ([\w/]+\.py)", document.read_text(encoding="utf-8"))
    assert [script for script in scripts if not (ROOT / script).is_file()] == []


def test_the_page_of_findings_is_as_the_program_has_them():
    page = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    assert page == findings_page(), "run: python scripts/generate_docs.py"
