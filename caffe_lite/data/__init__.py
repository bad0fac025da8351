"""Where batches come from: databases, images, HDF5 files.  Arrays only; no blobs, no layers."""

from __future__ import annotations
