"""Convert LeNet's inner products to convolutions, and classify a whole page of digits at once.

An inner product over 50 x 4 x 4 values is a convolution with a 4 x 4 kernel and the same weights.
The new net accepts a picture of any size and classifies a window every 4 pixels, so one forward
pass reads the whole page.

Output::

    ip1: (500, 800) becomes (500, 50, 4, 4)
    ip1: (500,) becomes (500,)
    ip2: (10, 500) becomes (10, 500, 1, 1)
    ip2: (10,) becomes (10,)
    largest difference on 64 digits: 0e+00
    a page of (100, 136) gives answers (10, 19, 28), those on the digits:
    [[6 0 3 3]
     [1 5 4 8]
     [6 7 1 4]]
    100% of them right
    picture: examples/pictures/heat_maps.png
"""

from __future__ import annotations

import numpy as np
from digits import DEPLOY, load, save_picture, weights
from google.protobuf import text_format

import caffe_lite as caffe
from caffe_lite.proto import caffe_pb2

# The new net has ip1 and ip2 as convolutions; their new names prevent copying weights by name.
with open(DEPLOY) as file:
    deploy = text_format.Parse(file.read(), caffe_pb2.NetParameter())
for layer in deploy.layer:
    if layer.type == "InnerProduct":
        layer.type = "Convolution"
        layer.convolution_param.num_output = layer.inner_product_param.num_output
        layer.convolution_param.kernel_size.append(4 if layer.name == "ip1" else 1)
        layer.ClearField("inner_product_param")
        layer.name += "-conv"

dense = caffe.Net(DEPLOY, caffe.TEST, weights=weights())
conv = caffe.Net(deploy, caffe.TEST, weights=weights())
for name in ("ip1", "ip2"):
    for old, new in zip(dense.params[name], conv.params[f"{name}-conv"]):
        new.data.flat = old.data.flat  # (500, 800) and (500, 50, 4, 4): the same order in memory
        print(f"{name}: {old.data.shape} becomes {new.data.shape}")

pixels, labels = load("test")
one = dense.forward(data=pixels[:64])["prob"]
other = conv.forward(data=pixels[:64])["prob"][:, :, 0, 0]
print(f"largest difference on 64 digits: {np.abs(one - other).max():.0e}")

# A page of 3 x 4 digits, 36 pixels apart: every 9th window is centred on a digit.
page = np.zeros((1, 1, 3 * 36 - 8, 4 * 36 - 8), np.float32)
for index in range(12):
    top, left = 36 * (index // 4), 36 * (index % 4)
    page[0, 0, top : top + 28, left : left + 28] = pixels[index, 0]
conv.blobs["data"].reshape(*page.shape)
outputs = conv.forward(data=page, blobs=["ip2"])
answers = outputs["prob"][0]
print(f"a page of {page.shape[2:]} gives answers {answers.shape}, those on the digits:")
print(answers.argmax(0)[::9, ::9])
print(f"{(answers.argmax(0)[::9, ::9].flat == labels[:12]).mean():.0%} of them right")

# One map for each digit, of the scores before Softmax: bright where the net recognises it.
maps = [scores.repeat(4, 0).repeat(4, 1) for scores in outputs["ip2"][0].clip(0)]
height, width = maps[0].shape
centres = page[0, 0, 14 : 14 + height, 14 : 14 + width]  # the pixels at the windows' centres
save_picture("heat_maps.png", [[centres, *maps[:3]], maps[3:7], [*maps[7:], centres]], scale=2)
