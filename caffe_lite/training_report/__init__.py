"""A run as a page to look at: `Report` writes it while a solver trains."""

from __future__ import annotations

from caffe_lite.training_report.report import Report

__all__ = ["Report"]
