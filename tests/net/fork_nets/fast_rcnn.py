"""Fast R-CNN, Girshick 2015."""

from __future__ import annotations

from tests.net.fork_nets.layers import Layers
from tools.bench.nets.detectors import CLASSES
from tools.bench.nets.text import MAX_3_2


def fast_rcnn_zf() -> Layers:
    """The net of Zeiler and Fergus 2014, its regions pooled before the dense layers."""
    net, top = Layers(224, rois=True), "data"
    for index, (outputs, kernel) in enumerate(
        [(96, 7), (256, 5), (384, 3), (384, 3), (256, 3)], 1
    ):
        more = f"pad: {kernel // 2} stride: {2 if index < 3 else 1}"
        top = net.act(f"relu{index}", net.conv(f"conv{index}", top, outputs, kernel, more))
        if index < 3:
            norm = "local_size: 3 alpha: 0.00005 beta: 0.75 norm_region: WITHIN_CHANNEL"
            top = net.same("LRN", f"norm{index}", top, f"lrn_param {{ {norm} }}")
            top = net.pool(f"pool{index}", top, f"{MAX_3_2} pad: 1")
    settings = "roi_pooling_param { pooled_h: 6 pooled_w: 6 spatial_scale: 0.0625 }"
    top = net.same("ROIPooling", "roi_pool_conv5", f"{top} rois", settings)
    drop = "dropout_param { dropout_ratio: 0.5 scale_train: false }"
    for index in (6, 7):
        top = net.act(f"relu{index}", net.dense(f"fc{index}", top, 4096))
        net.add("Dropout", f"drop{index}", top, top, drop)
    net.dense("cls_score", top, CLASSES)
    net.dense("bbox_pred", top, 4 * CLASSES)
    net.same("Softmax", "cls_prob", "cls_score")
    return net
