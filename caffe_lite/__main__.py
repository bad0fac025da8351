"""``python -m caffe_lite`` is the command ``caffe-lite``."""

from __future__ import annotations

import sys

from caffe_lite.cli import main

sys.exit(main())
