"""What was taken over from others is what they published."""

import json

from config.vendor_swagger_ui import FILES, FOLDER, integrity
from mediaserver.api.web_folder import WEB


def test_swagger_ui_is_as_it_was_published() -> None:
    record = json.loads((WEB / "vendor" / "swagger-ui" / "integrity.json").read_text())
    carried = {path.name for path in FOLDER.iterdir()} - {"integrity.json"}
    assert carried == set(FILES) == set(record["files"])
    assert {name: integrity((FOLDER / name).read_bytes()) for name in FILES} == record["files"]
