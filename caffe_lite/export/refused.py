"""The layer types that are not exported, and why."""

from __future__ import annotations

_LOSS = "a loss, which compares with labels"
_MEASURE = "a measure, which compares with labels"
_DATA = "reads a database or files"
_MARGIN = "a margin for training, which needs labels"
_BOXES = (
    "how many boxes there are depends on the data, and ONNX's NonMaxSuppression has other rules"
)

REFUSED: dict[str, str] = {
    "Accuracy": _MEASURE,
    "AnnotatedData": _DATA,
    "BboxAccuracy": _MEASURE,
    "BoxAnnotatorOHEM": "chooses what training learns from, by labels",
    "BoxOutput": _BOXES,
    "CTCGreedyDecoder": "ONNX has no operator that merges and drops classes",
    "CenterLoss": _LOSS,
    "ContrastiveLoss": _LOSS,
    "Data": _DATA,
    "DecodeBBox": "which regions remain depends on the data",
    "DenseImageData": _DATA,
    "DetectionAccuracy": _MEASURE,
    "DetectionEvaluate": _MEASURE,
    "DetectionLoss": _LOSS,
    "DetectionOutput": _BOXES,
    "EuclideanLoss": _LOSS,
    "EvalDetection": _MEASURE,
    "FocalLoss": _LOSS,
    "GeneralContrastiveLoss": _LOSS,
    "GeneralTripletLoss": _LOSS,
    "HDF5Data": _DATA,
    "HDF5Output": "writes a file",
    "HingeLoss": _LOSS,
    "ImageData": _DATA,
    "ImageGtData": _DATA,
    "ImageLabelmapData": _DATA,
    "ImageSegData": _DATA,
    "InfogainLoss": _LOSS,
    "L1Loss": _LOSS,
    "Lstm": "ONNX's own LSTM cannot start a sequence anew; use the type LSTM",
    "LargeMarginInnerProduct": _MARGIN,
    "MarginInnerProduct": _MARGIN,
    "MemoryData": "its arrays come from a program",
    "MultiBoxLoss": _LOSS,
    "MultiLabelImageData": _DATA,
    "MultiStageMeanfield": "ONNX has no filter on a permutohedral lattice",
    "MultinomialLogisticLoss": _LOSS,
    "PSROIPooling": "ONNX has no position-sensitive pooling",
    "Pooling3D": "its last windows may start in the padding, those of ONNX may not",
    "Proposal": _BOXES,
    "ProposalTarget": "chooses what training learns from, by labels",
    "Python": "its code is Python",
    "ROIAlign": "ONNX's RoiAlign gives the means of bins, this the values at their corners",
    "RegionLoss": _LOSS,
    "SegAccuracy": _MEASURE,
    "SigmoidCrossEntropyBalanceLoss": _LOSS,
    "SigmoidCrossEntropyLoss": _LOSS,
    "SmoothL1Loss": _LOSS,
    "SmoothL1LossOHEM": _LOSS,
    "SoftmaxWithLoss": _LOSS,
    "SoftmaxWithLossOHEM": _LOSS,
    "TripletLoss": _LOSS,
    "VideoData": _DATA,
    "WarpCTCLoss": _LOSS,
    "WindowData": _DATA,
    "YoloDetectionOutput": _BOXES,
    "YoloSeg": _LOSS,
    "Yolov3": _LOSS,
    "Yolov3DetectionOutput": _BOXES,
}
