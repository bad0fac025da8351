"""OpenCV's ``cv2.dnn``, as far as it was for Caffe nets: for programs that lost the importer.

OpenCV 5 no longer reads Caffe models.  The names here take the same arguments as those of OpenCV
4.14, and give the same results, without OpenCV::

    from caffe_lite import dnn

    net = dnn.readNetFromCaffe("deploy.prototxt", "weights.caffemodel")
    net.setInput(dnn.blobFromImage(image, 1.0, (300, 300), (104, 177, 123)))
    detections = net.forward()

`caffe_lite.as_cv2_dnn` puts them in place of OpenCV's own, for programs that say ``cv2.dnn``.
docs/coming_from_opencv.md lists what differs.
"""

from __future__ import annotations

from caffe_lite.dnn.backends import (
    DNN_BACKEND_CANN,
    DNN_BACKEND_CUDA,
    DNN_BACKEND_DEFAULT,
    DNN_BACKEND_HALIDE,
    DNN_BACKEND_INFERENCE_ENGINE,
    DNN_BACKEND_OPENCV,
    DNN_BACKEND_TIMVX,
    DNN_BACKEND_VKCOM,
    DNN_BACKEND_WEBNN,
    DNN_TARGET_CPU,
    DNN_TARGET_CPU_FP16,
    DNN_TARGET_CUDA,
    DNN_TARGET_CUDA_FP16,
    DNN_TARGET_FPGA,
    DNN_TARGET_HDDL,
    DNN_TARGET_MYRIAD,
    DNN_TARGET_NPU,
    DNN_TARGET_OPENCL,
    DNN_TARGET_OPENCL_FP16,
    DNN_TARGET_VULKAN,
    getAvailableTargets,
)
from caffe_lite.dnn.blobs import CV_8U, CV_32F, blobFromImage, blobFromImages, imagesFromBlob
from caffe_lite.dnn.boxes import NMSBoxes, NMSBoxesBatched
from caffe_lite.dnn.models import readNet, readNetFromCaffe
from caffe_lite.dnn.net import Layer, Net

__all__ = [
    "CV_8U",
    "CV_32F",
    "DNN_BACKEND_CANN",
    "DNN_BACKEND_CUDA",
    "DNN_BACKEND_DEFAULT",
    "DNN_BACKEND_HALIDE",
    "DNN_BACKEND_INFERENCE_ENGINE",
    "DNN_BACKEND_OPENCV",
    "DNN_BACKEND_TIMVX",
    "DNN_BACKEND_VKCOM",
    "DNN_BACKEND_WEBNN",
    "DNN_TARGET_CPU",
    "DNN_TARGET_CPU_FP16",
    "DNN_TARGET_CUDA",
    "DNN_TARGET_CUDA_FP16",
    "DNN_TARGET_FPGA",
    "DNN_TARGET_HDDL",
    "DNN_TARGET_MYRIAD",
    "DNN_TARGET_NPU",
    "DNN_TARGET_OPENCL",
    "DNN_TARGET_OPENCL_FP16",
    "DNN_TARGET_VULKAN",
    "Layer",
    "NMSBoxes",
    "NMSBoxesBatched",
    "Net",
    "blobFromImage",
    "blobFromImages",
    "getAvailableTargets",
    "imagesFromBlob",
    "readNet",
    "readNetFromCaffe",
]
