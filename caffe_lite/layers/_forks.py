"""The layer types of Caffe's forks: whose each is, for the error of one that is not here.

These are facts from the forks' sources: the names under which they register their layers.  A name
that several forks have is listed under the one that it comes from, or the best known.  Types that
this program has are in the table too: it is asked only for those that it does not have.
"""

from __future__ import annotations

_TYPES = {
    "alexgkendall/caffe-segnet": "DenseImageData Upsample",
    "ChWick/caffe": "WarpCTCLoss",
    "CMU-Perceptual-Computing-Lab/caffe_rtpose": "ImResize Nms",
    "CMU-Perceptual-Computing-Lab/caffe_train": "CPMData",
    "daerduoCarey/SpatialTransformerLayer": "LocLoss PowerFile SpatialTransformer STLoss",
    "daijifeng001/caffe-mnc": "MaskPooling MaskResize ROIWarping",
    "daijifeng001/caffe-rfcn": "BoxAnnotatorOHEM PSROIPooling",
    "eric612/MobileNet-YOLO": (
        "AssistedExcitation DepthwiseConvolution GaussianYolov3 LaneData ReLU6 "
        "SegmentationEvaluate YoloDetectionOutput YoloSeg Yolov3 Yolov3DetectionOutput"
    ),
    "facebook/C3D": "BlackHole Convolution3D Deconvolution3D L2Normalize Pooling3D",
    "farmingyard/ShuffleNet": "ShuffleChannel",
    "foss-for-synopsys-dwc-arc-processors/synopsys-caffe": (
        "Add Atan Attention BatchToSpaceND BEGANLoss BroadcastTo Ceil Corr1d CountNonzero "
        "CropAndResize DepthToSpace Div EmbeddingLookup EmbeddingLookupSparse ExpandDimsND "
        "FarthestPointSample Floor FloorDiv FloorMod GANLoss GatherND GatherNd GatherV2 Gemm "
        "GroupPoint GRU HardSigmoid HardSwish HardTanH ICNetSubgraph LayerNorm LogSoftmax "
        "LpNormalization LSTMV2 LuongAttention MaskRCNNDetection MaskRCNNProposal MatMul Maximum "
        "Minimum MirrorPad Mish Mul NMS NMSGather NonMaxSuppression NotEqual OneHot Pad "
        "PeepholeLSTM Piece Pow PyramidROIAlign PyramidRoiAlign QueryBallPoint Range ReduceAll "
        "ReduceAny ReduceL1 ReduceL2 ReduceLogSumExp ReduceLogsumexp ReduceMax ReduceMean "
        "ReduceMin ReduceProd ReduceSum ResizeBilinear ResizeNearestNeighbor ReverseSequence "
        "RNNv2 Round ScaledTanH ScatterND SeLU SeLUDropout Shape SimpleRNN Sin Softplus Softsign "
        "SpaceToBatchND SpaceToDepth SparseToDense SpatialBatchingPooling Squeeze "
        "SqueezeConvolution SqueezeDeconvolution SqueezeInnerProduct SSDDecoder SSDSort Stack "
        "StridedSlice Sub Tensor2Box ThreeInterpolate ThreeNN ThresholdedReLU TileND TopkGather "
        "Unstack UpsampleDarknet Where4 Where4Gathernd Where4GatherndCrop XLU YoloV2Loss "
        "YoloV3Loss"
    ),
    "happynear/caffe-windows": (
        "Arccos BatchContrastiveLoss ChannelScale ConfidencePenaltyLoss CorrelationLoss Cosine "
        "Covariance CrossEntropyLoss EltwiseAffine FCNAccuracy FCNData FeatureDecayLoss "
        "FeatureIncayLoss Flip FocalLoss GeneralContrastiveLoss GeneralTripletLoss "
        "GlobalLSEMargin Gram Hotspot InnerDistance Insanity LabelSpecificAdd LabelSpecificAffine "
        "LabelSpecificHardMargin LabelSpecificMargin LabelSpecificRescale LabelSpecificStatistics "
        "LargeMarginInnerProduct Local MIL MILData MovingNormalize MultiLabelImageData NCALoss "
        "Noise Pairwise PredictBox Proposal RadialRemovalMargin Resize Slope SoftContrastiveLoss "
        "SoftTruncation SubRegion TrainableData Transformer TripletLoss Truncation"
    ),
    "hszhao/PSPNet": (
        "AdaptiveBiasChannel BiasChannel BN DenseCRF DomainTransform DomainTransformForwardOnly "
        "ImageSegData Interp MatRead MatWrite SegAccuracy SpatialProduct UniqueLabel"
    ),
    "hujie-frank/SENet": "Axpy",
    "intel/caffe": (
        "BoxData ContinuationIndicator EvalDetection MnActivation RegionLoss RemoteData Reorg "
        "SimplerNMS SmoothL1LossOHEM SoftmaxWithLossOHEM SpatialDropout"
    ),
    "jeffdonahue/caffe": "Unpooling",
    "jolibrain/caffe": (
        "BroadcastMul ConvolutionDepthwise CtcLoss DeformableConvolution DiceCoefLoss "
        "LabelsequenceAccuracy MemorySparseData MultiBoxFocalLoss MultiLabelAccuracy "
        "MultiLabelSigmoidLoss SeLu SeLuDropout SoftmaxWithInfogainLoss SparseInnerProduct "
        "SparseSlice"
    ),
    "junhyukoh/caffe-lstm": "Lstm",
    "jwcom79/myproject": "Pushin",
    "kvmanohar22/caffe": "BboxData SqueezeDetLoss",
    "LisaAnne/lisa-caffe-public": (
        "Bilinear CompactBilinear Sample Scalar SignedSqrt SoftmaxPerInstLoss"
    ),
    "kmaninis/OSVOS-caffe": "SigmoidCrossEntropyBalanceLoss",
    "lmb-freiburg/flownet2": (
        "Accum BlackAugmentation ChannelNorm Correlation Correlation1D CustomData "
        "DataAugmentation DisparityData Downsample FloatReader FloatWriter FlowAugmentation "
        "FLOWriter FlowWarp GenerateAugmentationParameters ImgReader ImgWriter L1Loss LpqLoss "
        "Mean NegReLU PFMWriter Resample"
    ),
    "naibaf7/caffe": (
        "Affinity ConnectedComponent ConvolutionSK CoordInterpolation DeconvolutionND "
        "LibDNNConvolution LibDNNPooling MalisLoss MergeCrop MOE PoolingND PoolingSK Quantizer "
        "SRPRNN"
    ),
    "nian-liu/DSCLRCN": "KLDivLoss NSSLoss",
    "nqanh/affordance-net": "ROIAlignment ROIAlignment2",
    "NVIDIA/caffe": "DetectNetTransformation NVLoss TRT",
    "openvinotoolkit/training_toolbox_caffe": "DetectionOutputExtended GRN PriorBoxClustered",
    "pmgysel/caffe": "ConvolutionRistretto DeconvolutionRistretto FcRistretto LRNRistretto",
    "rbgirshick/caffe-fast-rcnn": "ROIPooling SmoothL1Loss",
    "s9xie/hed": "ImageLabelmapData",
    "tianzhi0549/CTPN": "Reverse Transpose",
    "Tongcheng/caffe": "DenseBlock",
    "tonyyangToBeNo1/colorization_flow_caffe": (
        "FastHDF5Input FastHDF5Output Generator ImageDataModify MatrixMul Remap Repack "
        "SoftmaxCrossEntropyLoss SplitData StaticHDF5Input Transformation "
        "TransformingFastHDF5Input"
    ),
    "torrvision/crfasrnn": "MultiStageMeanfield",
    "tpfister/caffe-heatmap": "DataHeatmap EuclideanLossHeatmap",
    "weiliu89/caffe": (
        "AnnotatedData DetectionEvaluate DetectionOutput Grouping MultiBoxLoss Normalize "
        "ParseEvaluate ParseOutput Permute PriorBox UnPooling VideoData"
    ),
    "wy1iu/sphereface": "MarginInnerProduct",
    "xiaolonw/caffe-video_triplet": "Norm RankHardLoss",
    "ydwen/caffe-face": "CenterLoss",
    "yjxiong/caffe": (
        "BatchReduction ColorConv Gather LSRLoss MapAccuracy MapData MapRegressionLoss "
        "MultilabelLogisticLoss Scatter SegData SequenceData SibData SoftmaxWithCrossEntropyLoss "
        "SparseData SyncBN"
    ),
    "zeakey/skeleton": "ImageMultLabelData Quantize Rescale SigmoidEuclideanLoss",
    "zhaoweicai/cascade-rcnn": (
        "BoxGroupOutput DetectionData DetectionGroupAccuracy DetectionGroupLoss EvalData "
        "FrcnnOutput HardMining ScaleRoute"
    ),
    "zhaoweicai/mscnn": (
        "BboxAccuracy BoxOutput DecodeBBox Detection DetectionAccuracy DetectionLoss ImageGtData "
        "ProposalTarget ROIAlign SoftmaxWithWeightedLoss WindowPedData"
    ),
}

FORK_OF = {name: fork for fork, names in _TYPES.items() for name in names.split()}
"""The repository of the fork by the name of a type."""
