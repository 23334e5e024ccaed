"""Bring Swagger UI's files from npm to web/vendor: the version recorded there, or the one that is named."""

import base64
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "web" / "vendor" / "swagger-ui"
RECORD = FOLDER / "integrity.json"
PACKAGE = "swagger-ui-dist"
FILES = ("swagger-ui-bundle.js", "swagger-ui-bundle.js.LICENSE.txt", "swagger-ui.css", "LICENSE", "NOTICE")


def integrity(data: bytes) -> str:
    """The hash of a file as npm and browsers write it."""
    return "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()


def main(words: list[str]) -> int:
    """Write the files and record their hashes; 1 if the recorded version is no longer what it was."""
    recorded = json.loads(RECORD.read_text())
    version = words[0] if words else recorded["version"]
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", "--json", "--pack-destination", folder, f"{PACKAGE}@{version}"]
        (packed,) = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        archive = Path(folder, packed["filename"])
        came = integrity(archive.read_bytes())
        expected = recorded["integrity"] if packed["version"] == recorded["version"] else packed["integrity"]
        if came != expected:
            sys.stderr.write(f"{PACKAGE} {version} is not what it was: {came} came, {expected} is recorded\n")
            return 1
        hashes: dict[str, str] = {}
        with tarfile.open(archive) as files:
            for name in FILES:
                file = files.extractfile(f"package/{name}")
                assert file is not None, name
                data = file.read()
                (FOLDER / name).write_bytes(data)
                hashes[name] = integrity(data)
    record = {"package": PACKAGE, "version": packed["version"], "integrity": came, "files": hashes}
    RECORD.write_text(json.dumps(record, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
