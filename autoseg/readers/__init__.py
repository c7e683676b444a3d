"""Readers, one per format family. To add one, add a file here; no other change is needed."""

from autoseg.readers.base import READERS, Header, Reader, StoredImage
from autoseg.readers.names import ending_of, is_image_name, known_endings, label_ending, stem_of
from autoseg.readers.reading import (
    exists,
    images_in,
    knows_geometry,
    read_header,
    read_image,
    read_labels,
    read_segments,
    read_stored_labels,
)
from autoseg.readers.storage import storage_of, storage_state, stored_bytes
from autoseg.readers.writing import write_labels, write_stored_labels

READERS.discover(__name__)

ENDINGS = known_endings()
"""File extensions of all readers, e.g. `.nii.gz`."""

__all__ = [
    "ENDINGS",
    "READERS",
    "Header",
    "Reader",
    "StoredImage",
    "ending_of",
    "exists",
    "images_in",
    "is_image_name",
    "knows_geometry",
    "label_ending",
    "read_header",
    "read_image",
    "read_labels",
    "read_segments",
    "read_stored_labels",
    "stem_of",
    "storage_of",
    "storage_state",
    "stored_bytes",
    "write_labels",
    "write_stored_labels",
]
