"""Sources of batches: databases, images, HDF5 files.  They know arrays, not blobs or layers."""

from __future__ import annotations
