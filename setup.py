"""What setup.cfg cannot say: PyPI shows the README, and there its links must be absolute."""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import setup

FILES = "https://github.com/caffe-lite/caffe_lite/blob/main/"

readme = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
setup(long_description=re.sub(r"\]\((?!\w+:|#)", f"]({FILES}", readme))
