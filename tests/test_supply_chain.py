"""What is installed is listed with hashes, and looked up in an advisory database."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text()
RECIPES = {
    name: recipe.strip() for name, recipe in re.findall(r"^([a-z]+):.*\n\t(.*)", (ROOT / "Makefile").read_text(), re.M)
}


def run(recipe: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a recipe of the Makefile in this environment, without installing what it depends on."""
    values = {"BIN": str(Path(sys.executable).parent), **variables}
    command = re.sub(r"\$\((\w+)\)", lambda match: values[match[1]], RECIPES[recipe])
    return subprocess.run(command.split(), cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.one_python
def test_the_sbom_lists_every_locked_package_with_its_hashes(tmp_path: Path) -> None:
    path = tmp_path / "sbom.json"
    made = run("sbom", SBOM=str(path))
    assert made.returncode == 0, made.stderr
    sbom = json.loads(path.read_text())
    assert (sbom["bomFormat"], sbom["metadata"]["component"]["name"]) == ("CycloneDX", "mediaserver")
    locked = dict(re.findall(r"^([\w.-]+)==(\S+)", LOCK, re.MULTILINE))
    assert len(locked) > 50
    assert {each["name"]: each["version"] for each in sbom["components"]} == locked
    hashes = {
        digest["content"]
        for each in sbom["components"]
        for reference in each["externalReferences"]
        for digest in reference["hashes"]
    }
    assert hashes == set(re.findall(r"--hash=sha256:(\w+)", LOCK))


@pytest.mark.one_python
def test_the_audit_reads_the_lock() -> None:
    # The advisory database is left out; that the collection of packages works is what can break here.
    RECIPES["dry"] = RECIPES["audit"] + " --dry-run"
    audited = run("dry")
    assert audited.returncode == 0, audited.stderr
    found = re.search(r"would have audited (\d+) packages", audited.stderr)
    assert found is not None
    assert int(found[1]) > 50


def test_the_workflow_tests_audits_and_keeps_the_sbom() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    commands = [step["run"] for step in steps if "run" in step]
    assert commands == [".ci/run", "make audit", "make sbom"]
    assert all(command.removeprefix("make ") in RECIPES for command in commands[1:])
    assert [step["with"]["path"] for step in steps if "upload" in step.get("uses", "")] == ["sbom.json"]
    assert workflow["permissions"] == {"contents": "read"}
