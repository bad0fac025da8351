#!/bin/sh
# Makes the two databases from the digits in this folder and trains LeNet on them.
# Arguments are passed to `caffe-lite train`: models/lenet/train.sh -snapshot models/lenet/lenet_iter_500.solverstate
set -eu
cd "$(dirname "$0")/../.."
lenet=models/lenet
digits=$lenet/digits
rm -rf "$lenet/mnist_train_lmdb" "$lenet/mnist_test_lmdb"
caffe-lite convert_mnist_data "$digits/train-images-idx3-ubyte.gz" "$digits/train-labels-idx1-ubyte.gz" "$lenet/mnist_train_lmdb"
caffe-lite convert_mnist_data "$digits/t10k-images-idx3-ubyte.gz" "$digits/t10k-labels-idx1-ubyte.gz" "$lenet/mnist_test_lmdb"
caffe-lite train -solver "$lenet/solver.prototxt" "$@"
