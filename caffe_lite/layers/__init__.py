"""Every layer type, one file per family; importing this registers them all.

annotated_data.py   AnnotatedData
arithmetic.py       Axpy Eltwise Mul Reduction
balanced_loss.py    SigmoidCrossEntropyBalanceLoss
batch_norm.py       BN BatchNorm
box_output.py       BoxGroupOutput BoxOutput FrcnnOutput
channel.py          BroadcastMul ChannelScale
classify.py         Accuracy ArgMax Softmax
contrastive.py      GeneralContrastiveLoss GeneralTripletLoss TripletLoss
convolution.py      Convolution Convolution3D ConvolutionDepthwise Deconvolution Deconvolution3D
                    DepthwiseConvolution Im2col
ctc.py              CTCGreedyDecoder WarpCTCLoss
data.py             Data DummyData HDF5Data HDF5Output ImageData Input MemoryData WindowData
dense_block.py      DenseBlock
detection.py        DetectionOutput
evaluate.py         DetectionEvaluate
field_detection.py  DetectionAccuracy DetectionLoss
focal_loss.py       FocalLoss
group_detection.py  DetectionGroupAccuracy DetectionGroupLoss
image_gt_data.py    DetectionData EvalData ImageGtData
image_pairs.py      DenseImageData ImageLabelmapData ImageSegData MultiLabelImageData
l1_loss.py          L1Loss SmoothL1Loss
linear.py           Bias Embed InnerProduct Scale
loss.py             ContrastiveLoss EuclideanLoss HingeLoss InfogainLoss MultinomialLogisticLoss
                    SigmoidCrossEntropyLoss
lstm.py             Lstm
margin.py           LabelSpecificAdd LabelSpecificRescale LargeMarginInnerProduct
                    MarginInnerProduct
meanfield.py        MultiStageMeanfield
metric.py           CenterLoss InnerDistance
multibox.py         MultiBoxLoss
neuron.py           AbsVal BNLL Clip Dropout ELU Exp Log PReLU Power ReLU Sigmoid Swish TanH
                    Threshold
normalization.py    LRN MVN Normalize
ohem.py             BoxAnnotatorOHEM SmoothL1LossOHEM SoftmaxWithLossOHEM
optical_flow.py     ChannelNorm FlowWarp
piecewise.py        HardSigmoid HardSwish NegReLU ReLU6
pooling.py          Pooling Pooling3D SPP
prior_box.py        PriorBox PriorBoxClustered
proposal.py         Proposal
python.py           Python
rearrange.py        Flip Pad Reorg
recurrent.py        LSTM LSTMUnit RNN
region_targets.py   BboxAccuracy DecodeBBox ProposalTarget ScaleRoute
roi_pooling.py      PSROIPooling ROIAlign ROIAlignment ROIPooling
routing.py          BatchReindex Filter Parameter Silence Split
saliency.py         KLDivLoss NSSLoss
segmentation.py     SegAccuracy
selu.py             SeLu SeLuDropout
sequence.py         BatchReduction ContinuationIndicator Gather Reverse
shape.py            Concat Crop Flatten Permute Reshape ShuffleChannel Slice Squeeze Tile
                    Transpose
softmax_loss.py     SoftmaxWithLoss
upsample.py         Interp ResizeBilinear ResizeNearestNeighbor Upsample
video.py            VideoData
yolo.py             RegionLoss YoloSeg Yolov3
yolo_output.py      EvalDetection YoloDetectionOutput Yolov3DetectionOutput
"""

from __future__ import annotations

from typing import Any

from caffe_lite import net_spec
from caffe_lite.layers import (
    annotated_data,
    arithmetic,
    balanced_loss,
    batch_norm,
    box_output,
    channel,
    classify,
    contrastive,
    convolution,
    ctc,
    data,
    dense_block,
    detection,
    evaluate,
    field_detection,
    focal_loss,
    group_detection,
    image_gt_data,
    image_pairs,
    l1_loss,
    linear,
    loss,
    lstm,
    margin,
    meanfield,
    metric,
    multibox,
    neuron,
    normalization,
    ohem,
    optical_flow,
    piecewise,
    pooling,
    prior_box,
    proposal,
    python,
    rearrange,
    recurrent,
    region_targets,
    roi_pooling,
    routing,
    saliency,
    segmentation,
    selu,
    sequence,
    shape,
    softmax_loss,
    upsample,
    video,
    yolo,
    yolo_output,
)
from caffe_lite.layers.registry import layer_types as layer_type_list

__all__ = [
    "annotated_data",
    "arithmetic",
    "balanced_loss",
    "batch_norm",
    "box_output",
    "channel",
    "classify",
    "contrastive",
    "convolution",
    "ctc",
    "data",
    "dense_block",
    "detection",
    "evaluate",
    "field_detection",
    "focal_loss",
    "group_detection",
    "image_gt_data",
    "image_pairs",
    "l1_loss",
    "layer_type_list",
    "linear",
    "loss",
    "lstm",
    "margin",
    "meanfield",
    "metric",
    "multibox",
    "neuron",
    "normalization",
    "ohem",
    "optical_flow",
    "piecewise",
    "pooling",
    "prior_box",
    "proposal",
    "python",
    "rearrange",
    "recurrent",
    "region_targets",
    "roi_pooling",
    "routing",
    "saliency",
    "segmentation",
    "selu",
    "sequence",
    "shape",
    "softmax_loss",
    "upsample",
    "video",
    "yolo",
    "yolo_output",
]


def __getattr__(name: str) -> Any:
    """``from caffe_lite import layers as L``: L.Convolution(…) adds a layer to a net_spec."""
    if not name[:1].isupper():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(net_spec.layers, name)
