"""The logs of trainings: read into tables (`parse`), and drawn (`charts`)."""

from __future__ import annotations

from caffe_lite.training_log.parse import (
    Line,
    Point,
    Row,
    TrainingLog,
    parse_log,
    read_lines,
    seconds_of_iterations,
    to_csv,
    write_text,
)

__all__ = [
    "Line",
    "Point",
    "Row",
    "TrainingLog",
    "parse_log",
    "read_lines",
    "seconds_of_iterations",
    "to_csv",
    "write_text",
]
