"""Classify pictures of digits, first with a Transformer, then with a Classifier.

A Classifier can average the scores of ten crops of each picture: the four corners and the centre
of a larger picture, and the same crops mirrored.  This improves the accuracy of ImageNet's nets.
But mirrored digits are not valid digits, so here it reduces the accuracy.

Output::

    a 6, the net says:
      6 with 1.0000
      5 with 0.0000
      0 with 0.0000
    the centre: 94.7% right
    ten crops: 82.0% right
"""

from __future__ import annotations

from tempfile import TemporaryDirectory

import numpy as np
from digits import DEPLOY, load, weights
from PIL import Image

import caffe_lite as caffe

pixels, labels = load("test")

# One picture file, step by step.  load_image returns (height, width, channels) from 0 to 1; the
# transformer converts it to LeNet's input: (channels, height, width), 0 to 255 times 1/256.
net = caffe.Net(DEPLOY, caffe.TEST, weights=weights())
net.blobs["data"].reshape(1, 1, 28, 28)

transformer = caffe.io.Transformer({"data": net.blobs["data"].data.shape})
transformer.set_transpose("data", (2, 0, 1))
transformer.set_raw_scale("data", 255)
transformer.set_input_scale("data", 1 / 256)

with TemporaryDirectory() as folder:
    Image.fromarray((pixels[0, 0] * 256).astype(np.uint8)).save(f"{folder}/digit.png")
    image = caffe.io.load_image(f"{folder}/digit.png", color=False)

net.blobs["data"].data[0] = transformer.preprocess("data", image)
prob = net.forward()["prob"][0]
print(f"a {labels[0]}, the net says:")
for digit in prob.argsort()[:-4:-1]:
    print(f"  {digit} with {prob[digit]:.4f}")

# All test digits: the Classifier resizes them to 32 x 32 and crops them to 28 x 28.
classifier = caffe.Classifier(
    DEPLOY, weights(), image_dims=(32, 32), raw_scale=255, input_scale=1 / 256
)
images = [digit.transpose(1, 2, 0) * (256 / 255) for digit in pixels]
for oversample in (False, True):
    right = classifier.predict(images, oversample).argmax(1) == labels
    print(f"{'ten crops' if oversample else 'the centre'}: {right.mean():.1%} right")
