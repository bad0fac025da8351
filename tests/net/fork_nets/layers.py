"""What the nets of the forks have beyond those of the benchmark."""

from __future__ import annotations

from tools.bench.nets.text import Text

NO_BIAS = "bias_term: false"
GLOBAL_STATS = "batch_norm_param { use_global_stats: true }"
DEPTHWISE = "DepthwiseConvolution"


class Layers(Text):
    """A list of layers; the first, `name`, takes an image and maybe regions in it."""

    def __init__(self, side: int, name: str = "input", rois: bool = False) -> None:
        super().__init__()
        tops, shapes = 'top: "data"', f"shape {{ dim: 1 dim: 3 dim: {side} dim: {side} }}"
        if rois:
            tops, shapes = f'{tops} top: "rois"', f"{shapes} shape {{ dim: 1 dim: 5 }}"
        settings = f"input_param {{ {shapes} }}"
        self.layers.append(f'layer {{ name: "{name}" type: "Input" {tops} {settings} }}')

    def norm(self, blob: str, norm: str, scale: str, settings: str = "") -> str:
        """In-place BatchNorm and Scale with names of their own."""
        self.add("BatchNorm", norm, blob, blob, settings)
        return self.add("Scale", scale, blob, blob, "scale_param { bias_term: true }")

    def deep(self, kind: str, name: str, below: str, channels: int, more: str = "") -> str:
        """A 3 x 3 convolution of each channel by itself, in a layer of type `kind`."""
        settings = f"num_output: {channels} group: {channels} kernel_size: 3 pad: 1 {more}"
        return self.same(kind, name, below, f"convolution_param {{ {settings} }}")

    def separable(self, kind: str, name: str, below: str, sizes: tuple[int, int, int]) -> str:
        """MobileNet's pair of convolutions: the channels below and above, and the stride."""
        channels, outputs, stride = sizes
        top = self.deep(kind, f"{name}/dw", below, channels, f"stride: {stride}")
        return self.conv_relu(name, self.relu(top), outputs, 1)
