"""From a picture to an answer: `load` a net, give it pictures, draw what it finds.

    model = caffe_lite.load("deploy.prototxt", "net.caffemodel", mean=(104, 117, 123))
    model.classify("cat.jpg", labels="synset_words.txt")
    found = model.detect("people.jpg")
    draw_detections("people.jpg", found).save("found.png")

`preprocessing` is what is done to a picture, `answers` what its outputs mean, `drawing` how they
are shown, `records` how they are written as JSON and CSV.
"""

from __future__ import annotations

from caffe_lite.pictures.answers import ClassScore as ClassScore
from caffe_lite.pictures.answers import Detection as Detection
from caffe_lite.pictures.drawing import draw_detections as draw_detections
from caffe_lite.pictures.drawing import draw_labels as draw_labels
from caffe_lite.pictures.drawing import label_image as label_image
from caffe_lite.pictures.drawing import save as save
from caffe_lite.pictures.model import Model as Model
from caffe_lite.pictures.model import load as load
