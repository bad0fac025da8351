"""MTCNN: faces and five points of each, by three nets that are run one after another.

    python examples/mtcnn.py MODELS FOLDER PICTURE [PICTURE ...]

MODELS is a folder with det1, det2 and det3, each a .prototxt and a .caffemodel: those of
kpzhang93/MTCNN_face_detection_alignment on GitHub, in code/codes/MTCNNv1/model (Zhang et al. 2016,
arXiv:1604.02878).  The pictures with boxes and points go to FOLDER.  The first net takes the
picture in many sizes, the others as many crops as there are: ``net(x)`` takes any.

Output::

    data/astronaut.png: boxes after each net 108, 2, 1
    face 1.00 at 178 58 to 270 175, eyes at 205 101 and 247 105
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import ImageDraw

import caffe_lite as caffe
from caffe_lite.pictures import Detection, draw_detections

SMALLEST, FACTOR = 20, 0.709  # pixels of a face; from one size of the picture to the next
SURE = (0.6, 0.7, 0.7)  # what is a face, for each net


def prepared(images: np.ndarray) -> np.ndarray:
    """Images (N, height, width, 3) from 0 to 1 as these nets take them: (N, 3, width, height)."""
    return (images * 255 - 127.5).transpose(0, 3, 2, 1) / 128


def moved(boxes: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Boxes moved by shares of their width and height, (N, 4)."""
    return boxes + shift * np.tile(boxes[:, 2:] - boxes[:, :2], 2)


def best(boxes: np.ndarray, scores: np.ndarray, most: float, smaller: bool = False) -> list[int]:
    """The boxes that share at most that much, of both or of the smaller, with a better one."""
    kept: list[int] = []
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    for i in np.argsort(-scores):
        low, high = np.maximum(boxes[kept], boxes[i]), np.minimum(boxes[kept], boxes[i])
        shared = np.prod(np.clip(high[:, 2:] - low[:, :2], 0, None), axis=1)
        whole = np.minimum(areas[kept], areas[i]) if smaller else areas[kept] + areas[i] - shared
        if (shared <= most * whole).all():
            kept.append(int(i))
    return kept


def crops(image: np.ndarray, boxes: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Squares about the boxes, (N, 4), and what the image shows there, (N, size, size, 3)."""
    centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    half = sides.max(axis=1, keepdims=True) / 2
    squares = np.trunc(np.hstack([centres - half, centres + half])).astype(int)
    margin = max(image.shape)  # what is beyond the edge is black
    padded = np.pad(image, [(margin, margin), (margin, margin), (0, 0)])
    cut = [padded[y0:y1, x0:x1] for x0, y0, x1, y1 in squares + margin]
    return squares, np.stack([caffe.io.resize_image(each, (size, size)) for each in cut])


def find(image: np.ndarray) -> tuple[list[Detection], np.ndarray, list[int]]:
    """The faces, their points (N, 2, 5), and how many boxes each net has left."""
    # The first net sees 12 x 12 pixels, every 2 pixels.
    boxes, scores, scale = np.empty((0, 4)), np.empty(0), 12 / SMALLEST
    while min(image.shape[:2]) * scale >= 12:
        size = np.ceil(np.array(image.shape[:2]) * scale).astype(int)
        out = nets[0](prepared(caffe.io.resize_image(image, size)[np.newaxis]))
        x, y = np.nonzero(out["prob1"][0, 1] >= SURE[0])
        sure, shift = out["prob1"][0, 1, x, y], out["conv4-2"][0, :, x, y]
        here = np.stack([x, y, x + 6, y + 6], axis=1) * 2 / scale
        kept = best(here, sure, 0.5)
        boxes = np.vstack([boxes, moved(here, shift)[kept]])
        scores, scale = np.append(scores, sure[kept]), scale * FACTOR
    boxes = boxes[best(boxes, scores, 0.7)]
    counts, points = [len(boxes)], np.empty((0, 2, 5))
    for net, size, shift in (nets[1], 24, "conv5-2"), (nets[2], 48, "conv6-2"):
        if len(boxes):
            squares, images = crops(image, boxes, size)
            out = net(prepared(images))
            scores, boxes = out["prob1"][:, 1], moved(squares, out[shift])
            last = net is nets[2]
            kept = [i for i in best(boxes, scores, 0.7, last) if scores[i] > SURE[1 + last]]
            boxes, scores = boxes[kept], scores[kept]
            if last:
                corner, side = np.split(squares[kept][..., np.newaxis], 2, axis=1)
                points = corner + out["conv6-3"].reshape(-1, 2, 5)[kept] * (side - corner)
        counts.append(len(boxes))
    return [Detection("face", *pair, 0) for pair in zip(scores, boxes)], points, counts


models, folder, *pictures = sys.argv[1:]
Path(folder).mkdir(parents=True, exist_ok=True)
paths = [f"{models}/det{i}" for i in (1, 2, 3)]
nets = [caffe.Net(f"{path}.prototxt", f"{path}.caffemodel", caffe.TEST) for path in paths]

for picture in pictures:
    faces, points, counts = find(caffe.io.load_image(picture))
    print(f"{picture}: boxes after each net {', '.join(map(str, counts))}")
    drawn = draw_detections(picture, faces)
    for face, spots in zip(faces, points):
        (left, right), (high, low) = spots[:, :2].round().astype(int)  # of the two eyes
        box = "{:.0f} {:.0f} to {:.0f} {:.0f}".format(*face.box)
        print(f"face {face.score:.2f} at {box}, eyes at {left} {high} and {right} {low}")
        for x, y in spots.T:
            ImageDraw.Draw(drawn).ellipse((x - 2, y - 2, x + 2, y + 2), fill="lime")
    drawn.save(Path(folder, Path(picture).name))
