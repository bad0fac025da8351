"""How unfit for work pictures are: Yahoo's open_nsfw, a ResNet with one output of two scores.

    python examples/nsfw.py DEPLOY WEIGHTS PICTURE [PICTURE ...]

The net's files are deploy.prototxt and resnet_50_1by2_nsfw.caffemodel, in nsfw_model of
yahoo/open_nsfw on GitHub; the Python package nsfw (0.3.2) has them, too.  Scores below 0.2 are
said to be safe, those above 0.8 not.

Its authors resize to 256 x 256 with Pillow, which smooths, then take the centre and subtract
ImageNet's mean.  A model takes Pillow's images as it takes files.  They also compress the small
picture as JPEG in between, which this does not do: their score of the astronaut is 0.032.  This
command resizes files itself, as OpenCV and Caffe do, without smoothing; it says 0.017::

    caffe-lite classify -model DEPLOY -weights WEIGHTS -mean 104,117,123 -resize 256,256 PICTURE

Output::

    0.015  data/astronaut.png
    0.000  data/chelsea.png
"""

from __future__ import annotations

import sys

from PIL import Image

import caffe_lite as caffe

deploy, weights, *pictures = sys.argv[1:]

model = caffe.load(deploy, weights, mean=(104, 117, 123), resize=(256, 256))
for picture in pictures:
    image = Image.open(picture).convert("RGB").resize((256, 256), Image.Resampling.BILINEAR)
    print(f"{model(image)['prob'][1]:.3f}  {picture}")
