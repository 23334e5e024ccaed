"""Where the files of the pages are: templates/, static/ and vendor/."""

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]

WEB = next(folder for folder in (_PACKAGE / "web", _PACKAGE.parent / "web") if folder.is_dir())
"""Inside the package where it was installed, beside it in a checkout."""
