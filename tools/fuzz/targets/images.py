"""Image files of each format that a data layer reads; they are decoded by Pillow."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from caffe_lite.data import images
from caffe_lite.data.datum import datum_to_array
from caffe_lite.data.windows import WindowReader, WindowSettings
from caffe_lite.proto import caffe_pb2
from tools.fuzz.mutate import NUMBERS, bytes_mutation, text_mutation
from tools.fuzz.targets import Files, Target

FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP")
FOREIGN = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n",
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\x01\x00\x01\x00"
    b"\x00\x02\x02D\x01\x00;",
    b"\x00\x00\x01\x00\x01\x00\x10\x10\x00\x00\x01\x00\x20\x00\x28\x01\x00\x00\x16\x00\x00\x00",
    b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    b"8BPS\x00\x01" + bytes(60),
    b"#define a_width 8\n#define a_height 1\nstatic char a_bits[] = {0x55};\n",
)
"""Other formats that Pillow knows, as they would be under the name of a JPEG."""


def _encoded() -> list[Files]:
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 255, (7, 9, 3), np.uint8)
    modes = [Image.fromarray(pixels), Image.fromarray(pixels[:, :, 0])]
    modes += [modes[0].convert("P"), modes[0].convert("RGBA"), modes[0].convert("1")]
    modes += [Image.fromarray(rng.integers(0, 65535, (7, 9)).astype(np.uint16))]
    seeds = []
    for kind in FORMATS:
        for image in modes:
            file = io.BytesIO()
            try:
                exif = Image.Exif()
                exif[0x0112] = 6  # turned by 90 degrees
                image.save(file, kind, exif=exif)
            except (OSError, ValueError, KeyError):
                continue  # this format has no such pixels, or this Pillow not the format
            seeds.append({"image.jpg": file.getvalue()})
    return seeds + [{"image.jpg": content} for content in FOREIGN]


def image_mutation(rng: Random, content: bytes, others: object = ()) -> bytes:
    """Bytes, or a PNG whose chunks are damaged but have right checksums."""
    if content.startswith(b"\x89PNG") and rng.random() < 0.6:
        return _chunks_damaged(rng, content)
    return bytes_mutation(rng, content, _OTHERS)


_OTHERS = FOREIGN


def _chunks_damaged(rng: Random, content: bytes) -> bytes:
    chunks, at = [], 8
    while at + 12 <= len(content):
        (size,) = struct.unpack(">I", content[at : at + 4])
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
        at += 12 + size
    index = rng.randrange(len(chunks))
    name, data = chunks[index]
    if name == b"IHDR" and rng.random() < 0.7:
        fields = bytearray(data)
        start = rng.choice((0, 4))
        fields[start : start + 4] = struct.pack(">I", rng.choice(NUMBERS) % 2**32)
        chunks[index] = (name, bytes(fields))
    elif name == b"IDAT" and rng.random() < 0.5:
        bomb = zlib.compress(bytes(rng.choice((1, 1000, 10**7))))
        chunks[index] = (name, bomb)
    else:
        kind = rng.choice((name, b"iTXt", b"zTXt", b"eXIf", b"gAMA", b"tRNS", b"PLTE", b"acTL"))
        chunks[index] = (kind, bytes_mutation(rng, data))
    if rng.random() < 0.2:
        chunks.insert(rng.randrange(len(chunks)), rng.choice(chunks))
    return content[:8] + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def _decode() -> None:
    content = Path("image.jpg").read_bytes()
    for color in (True, False, None):
        try:
            image = images.read("image.jpg", color)
        finally:
            datum = caffe_pb2.Datum(encoded=True, data=content)
        datum_to_array(datum, color)
        if image.size < 10**5:
            images.resize(image, 3, 4)


def _windows() -> list[Files]:
    image = {"a.png": _encoded_png()}
    return [
        {
            "windows.txt": b"# 0\na.png\n3 7 9\n3\n1 0.7 0 0 5 5\n2 0.9 3 3 8 6\n0 0.1 2 2 6 5\n",
            **image,
        },
        {"windows.txt": b"# 0\na.png\n3 7 9\n2\n1 1 8 6 8 6\n0 0 0 0 8 6\n", **image},
    ]


def _encoded_png() -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(4).integers(0, 255, (7, 9, 3), np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _crop_windows() -> None:
    for pad, square in ((0, False), (1, True)):
        settings = WindowSettings(4, 6, True, 1.0, 0.5, 0.5, 0.25, pad, square, pad == 1, "")
        mean = np.zeros((3, 1, 1), np.float32)
        reader = WindowReader("windows.txt", settings, mean, np.float32, np.random.default_rng(5))
        reader.fill(None)


TARGETS = [
    Target("image", _encoded, _decode, image_mutation, isolated=True),
    Target("windows", _windows, _crop_windows, text_mutation, ("windows.txt",), isolated=True),
]
