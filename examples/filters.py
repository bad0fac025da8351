"""Inspect LeNet: the kernels of conv1, and their outputs for a digit.

Output::

    conv1  (20, 1, 5, 5) (20,)
    conv2  (50, 20, 5, 5) (50,)
    ip1    (500, 800) (500,)
    ip2    (10, 500) (10,)
    picture: examples/pictures/conv1_kernels.png
    picture: examples/pictures/conv1_digit.png
    kernel 19 has the largest weights:
    [[ 0.19 -0.2   0.3   0.44  0.12]
     [ 0.41  0.11  0.05  0.55  0.27]
     [ 0.35  0.35  0.52  0.43  0.5 ]
     [ 0.19 -0.19  0.41 -0.02  0.18]
     [-0.36 -0.22 -0.04 -0.28 -0.38]]
"""

from __future__ import annotations

import numpy as np
from digits import DEPLOY, load, save_picture, weights

import caffe_lite as caffe

net = caffe.Net(DEPLOY, caffe.TEST, weights=weights())
for name, params in net.params.items():
    print(f"{name:6} " + " ".join(str(param.data.shape) for param in params))

kernels = net.params["conv1"][0].data[:, 0]
save_picture("conv1_kernels.png", [list(kernels[:10]), list(kernels[10:])], scale=10)

pixels, labels = load("test")
net.blobs["data"].reshape(1, 1, 28, 28)
net.forward(data=pixels[:1], end="pool1")
maps = net.blobs["conv1"].data[0]
save_picture("conv1_digit.png", [list(maps[:5]), list(maps[5:10]), list(maps[10:15])])

strongest = np.abs(kernels).sum((1, 2)).argmax()
print(f"kernel {strongest} has the largest weights:")
print(np.array2string(kernels[strongest], precision=2, suppress_small=True))
