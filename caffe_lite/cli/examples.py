"""The examples that the help of each command shows, as one types them."""

from __future__ import annotations

EXAMPLES: dict[str, tuple[str, ...]] = {
    "train": (
        "caffe-lite train -solver solver.prototxt",
        "caffe-lite train -solver solver.prototxt -weights pretrained.caffemodel",
        "caffe-lite train -solver solver.prototxt -snapshot auto",
        "caffe-lite train -solver solver.prototxt -report run.html \\",
        "    -early_stop 10 -reduce_on_plateau 0.1,4",
    ),
    "test": (
        "caffe-lite test -model train_val.prototxt -weights net.caffemodel \\",
        "    -iterations 100",
    ),
    "time": ("caffe-lite time -model deploy.prototxt -iterations 10",),
    "compile": (
        "caffe-lite compile solver.prototxt deploy.prototxt",
        "RUN caffe-lite compile deploy.prototxt     (in a Dockerfile)",
    ),
    "check": (
        "caffe-lite check solver.prototxt",
        "caffe-lite check deploy.prototxt net.caffemodel -strict",
        "caffe-lite check train_val.prototxt -ignore missing-file -sarif check.sarif",
    ),
    "summarize": (
        "caffe-lite summarize train_val.prototxt",
        "caffe-lite summarize deploy.prototxt -input-shape data=1,3,227,227",
    ),
    "draw_net": (
        "caffe-lite draw_net -phase TEST -rankdir TB train_val.prototxt net.svg",
        "caffe-lite draw_net -input-shape 1,3,224,224 train_val.prototxt net.html",
    ),
    "parse_log": (
        "caffe-lite train -solver solver.prototxt 2> train.log",
        "caffe-lite parse_log train.log .",
    ),
    "extract_seconds": ("caffe-lite extract_seconds train.log seconds.txt",),
    "plot_training_log": ("caffe-lite plot_training_log 6 loss.png first.log second.log",),
    "classify": (
        "caffe-lite classify -model deploy.prototxt -weights net.caffemodel \\",
        "    -mean 104,117,123 -resize 256 -labels synset_words.txt cat.jpg",
        "caffe-lite classify deploy.prototxt net.caffemodel \\",
        "    mean.binaryproto synset_words.txt cat.jpg",
        "caffe-lite classify -model_def deploy.prototxt \\",
        "    -pretrained_model net.caffemodel pictures/ scores.npy",
    ),
    "detect": (
        "caffe-lite detect -model deploy.prototxt -weights ssd.caffemodel \\",
        "    -mean 104,117,123 -labels names.txt -output found -json found.json photos",
        "caffe-lite detect -model_def deploy.prototxt \\",
        "    -pretrained_model net.caffemodel windows.csv scores.csv",
    ),
    "segment": (
        "caffe-lite segment -model deploy.prototxt -weights fcn.caffemodel \\",
        "    -mean 104,117,123 -input_size any -output masks photos",
    ),
    "extract_features": (
        "caffe-lite extract_features net.caffemodel train_val.prototxt \\",
        "    fc6,fc7 fc6.h5,fc7.h5 10 hdf5",
    ),
    "merge_bn": ("caffe-lite merge_bn deploy.prototxt net.caffemodel m.prototxt m.caffemodel",),
    "export_onnx": (
        "caffe-lite export_onnx deploy.prototxt net.caffemodel net.onnx",
        "caffe-lite export_onnx -until mbox_conf_flatten deploy.prototxt \\",
        "    ssd.caffemodel ssd.onnx",
    ),
    "convert_imageset": (
        "caffe-lite convert_imageset -shuffle -resize_height 256 \\",
        "    -resize_width 256 pictures/ train.txt train_lmdb",
    ),
    "create_label_map": (
        "caffe-lite create_label_map -include_background classes.txt \\",
        "    labelmap.prototxt",
    ),
    "create_annoset": (
        "caffe-lite create_annoset -anno_type detection -encoded \\",
        "    -label_map_file labelmap.prototxt VOC2007/ trainval.txt trainval_lmdb",
    ),
    "get_image_size": ("caffe-lite get_image_size VOC2007/ test.txt test_name_size.txt",),
    "convert_mnist_data": (
        "caffe-lite convert_mnist_data train-images-idx3-ubyte.gz \\",
        "    train-labels-idx1-ubyte.gz mnist_train_lmdb",
    ),
    "convert_mnist_siamese_data": (
        "caffe-lite convert_mnist_siamese_data -backend lmdb \\",
        "    train-images-idx3-ubyte.gz train-labels-idx1-ubyte.gz pairs_lmdb",
    ),
    "convert_cifar_data": ("caffe-lite convert_cifar_data cifar-10-batches-bin . lmdb",),
    "compute_image_mean": ("caffe-lite compute_image_mean train_lmdb mean.binaryproto",),
    "upgrade_net_proto_text": ("caffe-lite upgrade_net_proto_text old.prototxt new.prototxt",),
    "upgrade_net_proto_binary": (
        "caffe-lite upgrade_net_proto_binary old.caffemodel new.caffemodel",
    ),
    "upgrade_solver_proto_text": (
        "caffe-lite upgrade_solver_proto_text old.prototxt new.prototxt",
    ),
    "device_query": ("caffe-lite device_query",),
    "completion": (
        "caffe-lite completion bash \\",
        "    > ~/.local/share/bash-completion/completions/caffe-lite",
        "caffe-lite completion zsh > FOLDER/_caffe-lite     (FOLDER is in fpath)",
        "caffe-lite completion fish > ~/.config/fish/completions/caffe-lite.fish",
    ),
    "install_names": (
        "caffe-lite install_names .     (in a checkout of Caffe)",
        "./examples/mnist/create_mnist.sh && ./examples/mnist/train_lenet.sh",
        "caffe-lite install_names ~/caffe-names",
        'PATH="$HOME/caffe-names:$PATH" caffe train -solver solver.prototxt',
    ),
}
"""By command, lines of at most 78 characters; a line that ends in a backslash goes on."""
