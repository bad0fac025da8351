"""Boxes with their labels, and maps of labels, drawn on pictures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from caffe_lite import arguments
from caffe_lite.data import images
from caffe_lite.errors import CaffeError, one_line
from caffe_lite.pictures import sources
from caffe_lite.pictures.answers import VOID, Detection
from caffe_lite.proto.files import write_atomically

if TYPE_CHECKING:
    from PIL import Image

Array = npt.NDArray[Any]
Color = tuple[int, int, int]

FORMATS = {".jpeg": "JPEG", ".jpg": "JPEG", ".png": "PNG"}
"""The formats of pictures that are written, by the ends of their names."""

SMALLEST_TEXT, TEXT_SHARE = 11, 40  # pixels; the text has a fortieth of the picture's longer side
LINE_SHARE = 400  # and a box's line a four-hundredth, but two pixels at least


def draw_detections(
    picture: sources.Pictures, detections: Sequence[Detection], *, array_order: str = "RGB"
) -> Image.Image:
    """One picture with the boxes of `detections`, each with its name and score, as a PIL image.

    The surest lie on top.  The text and the lines grow with the picture.
    """
    image = _image(picture, array_order)
    from PIL import ImageDraw, ImageFont

    longer = max(image.size)
    font = ImageFont.load_default(max(SMALLEST_TEXT, longer // TEXT_SHARE))
    width = max(2, longer // LINE_SHARE)
    draw = ImageDraw.Draw(image)
    for found in sorted(detections, key=lambda each: each.score):
        color = color_of(found.label)
        draw.rectangle(_whole(found.box, image.size), outline=color, width=width)
        _write(draw, font, one_line(f"{found.name} {found.score:.2f}"), found, color, image.size)
    return image


def _whole(box: Sequence[float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A box's outermost pixels: left, top, right, bottom, all of them in the picture."""
    left, top = int(box[0]), int(box[1])
    right = min(max(left, int(np.ceil(box[2])) - 1), size[0] - 1)
    bottom = min(max(top, int(np.ceil(box[3])) - 1), size[1] - 1)
    return min(left, right), min(top, bottom), right, bottom


def _write(
    draw: Any, font: Any, text: str, found: Detection, color: Color, size: tuple[int, int]
) -> None:
    """The text on a ground of the box's colour: above the box, or in it at the picture's top."""
    margin = max(2, font.size // 5) if hasattr(font, "size") else 2
    left, _, right, bottom = draw.textbbox((0, 0), text, font=font)
    ascent = sum(font.getmetrics()) if hasattr(font, "getmetrics") else bottom
    width, height = right - left + 2 * margin, ascent + margin
    x = max(0, min(int(found.box[0]), size[0] - width))
    y = int(found.box[1]) - height
    if y < 0:
        y = min(int(found.box[1]), max(0, size[1] - height))
    draw.rectangle((x, y, x + width - 1, y + height - 1), fill=color)
    bright = np.dot(color, (0.299, 0.587, 0.114)) > 140
    ink = (0, 0, 0) if bright else (255, 255, 255)
    draw.text((x + margin - left, y + margin // 2), text, fill=ink, font=font)


def draw_labels(
    picture: sources.Pictures, labels: Array, *, opacity: float = 0.5, array_order: str = "RGB"
) -> Image.Image:
    """One picture under the colours of a map of labels (height, width), as a PIL image.

    The label 0, the background, and 255, nothing, have no colour.  `opacity` is the colours'
    share, from 0 to 1.
    """
    opacity = arguments.number(opacity, "opacity")
    if not 0 <= opacity <= 1:
        raise CaffeError(f"opacity must be from 0 to 1, not {opacity:g}")
    image = _image(picture, array_order)
    labels = arguments.numbers(labels, "labels")
    if labels.shape != (image.height, image.width) or labels.dtype.kind not in "iu":
        raise CaffeError(
            f"labels must be integers, one for each pixel of {image.height}x{image.width}, not "
            f"{arguments.described(labels)}"
        )
    from PIL import Image

    shown = Image.fromarray(((labels != 0) & (labels != VOID)).astype(np.uint8) * np.uint8(255))
    colors = label_image((labels & 255).astype(np.uint8)).convert("RGB")
    return Image.composite(Image.blend(image, colors, opacity), image, shown)


def label_image(labels: Array) -> Image.Image:
    """A map of labels as a picture to save as PNG: the labels themselves, shown in their colours.

    uint8 labels have the colours as a palette, as PASCAL VOC's have; uint16 are grey.
    """
    from PIL import Image

    image = Image.fromarray(labels)
    if labels.dtype == np.uint8:
        image.putpalette(palette().tobytes())
    return image


def palette() -> Array:
    """The colours of 256 labels, (256, 3) from 0 to 255: those of PASCAL VOC.

    A label's bits 0, 3 and 6 are the upper bits of red, from the highest down; its bits 1, 4 and 7
    those of green; 2 and 5 those of blue.
    """
    labels = np.arange(256)
    colors = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        colors[:, bit % 3] |= (((labels >> bit) & 1) << (7 - bit // 3)).astype(np.uint8)
    return colors


def color_of(label: int) -> Color:
    """The colour of a class: hues that are far apart for classes that follow one another."""
    import colorsys

    red, green, blue = colorsys.hsv_to_rgb((0.38 + label * 0.618034) % 1, 0.85, 0.9)
    return round(red * 255), round(green * 255), round(blue * 255)


def _image(picture: sources.Pictures, array_order: str) -> Image.Image:
    found, one = sources.expand(picture)
    if not one:
        raise CaffeError("one picture at a time can be drawn on")
    from PIL import Image

    return Image.fromarray(sources.show(found[0], sources.check_order(array_order, "array_order")))


def save(image: Image.Image, path: str | os.PathLike[str]) -> None:
    """Write a picture as PNG or JPEG, whole or not at all; CaffeError for other suffixes."""
    name = arguments.path(path, "the picture to write")
    kind = FORMATS.get(Path(name).suffix.lower())
    if kind is None:
        raise CaffeError(f'"{name}" must end with {", ".join(FORMATS)}')
    images.check_pixels(*image.size)

    def write(temporary: Path) -> None:
        image.save(temporary, format=kind, **({"quality": 92} if kind == "JPEG" else {}))

    write_atomically(name, write)


def targets(
    pictures: Sequence[sources.Picture], folder: str | os.PathLike[str], ending: str = ""
) -> list[str]:
    """The files in `folder` that drawn pictures go to, with the pictures' names.

    A picture of another format becomes a PNG.  `ending` follows the name, and makes each a PNG.
    Raises CaffeError if two would be one file, or one would take the place of a picture.
    """
    where = arguments.path(folder, "the folder for pictures")
    known: dict[str, str] = {}
    originals = {os.path.realpath(picture.name) for picture in pictures}
    for picture in pictures:
        stem, suffix = os.path.splitext(os.path.basename(picture.name))
        suffix = suffix if suffix.lower() in FORMATS and not ending else ".png"
        path = os.path.join(where, stem + ending + suffix)
        if path in known:
            raise CaffeError(
                f'"{known[path]}" and "{picture.name}" would both be drawn to "{path}"'
            )
        if os.path.realpath(path) in originals:
            raise CaffeError(f'"{path}" is a picture itself; draw to another folder')
        known[path] = picture.name
    return list(known)


def make_folder(folder: str | os.PathLike[str]) -> None:
    """Make a folder for pictures, and those above it, unless it is there."""
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise CaffeError(
            f'cannot make the folder "{os.fspath(folder)}": {error.strerror}'
        ) from None
