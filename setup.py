"""Packs web/, which stands beside the packages in a checkout, as mediaserver/web; the rest is in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["mediaserver*", "pipeline*"]), "mediaserver.web"],
    package_dir={"mediaserver.web": "web"},
)
