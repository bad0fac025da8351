"""What the nets of the forks have beyond those of the benchmark."""

from __future__ import annotations

from tools.bench.nets import Text

MAX_2_2 = "pool: MAX kernel_size: 2 stride: 2"
MAX_3_1 = "pool: MAX kernel_size: 3 stride: 1 pad: 1"
NO_BIAS = "bias_term: false"
GLOBAL_STATS = "batch_norm_param { use_global_stats: true }"
DEPTHWISE = "DepthwiseConvolution"
CLASSES = 21
"""The twenty of PASCAL VOC, and the background."""


class Layers(Text):
    """A list of layers; the first, `name`, takes an image and maybe regions in it."""

    def __init__(self, side: int, name: str = "input", rois: bool = False) -> None:
        super().__init__()
        tops, shapes = 'top: "data"', f"shape {{ dim: 1 dim: 3 dim: {side} dim: {side} }}"
        if rois:
            tops, shapes = f'{tops} top: "rois"', f"{shapes} shape {{ dim: 1 dim: 5 }}"
        settings = f"input_param {{ {shapes} }}"
        self.layers.append(f'layer {{ name: "{name}" type: "Input" {tops} {settings} }}')

    def same(self, kind: str, name: str, bottoms: str, settings: str = "") -> str:
        """A layer whose top has its name."""
        return self.add(kind, name, bottoms, name, settings)

    def act(self, name: str, blob: str, settings: str = "") -> str:
        """An in-place ReLU with a name of its own."""
        return self.add("ReLU", name, blob, blob, settings)

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

    def reshape(self, name: str, below: str, top: str, sizes: str) -> str:
        """A Reshape to the sizes that are separated by spaces."""
        shape = " ".join(f"dim: {size}" for size in sizes.split())
        return self.add("Reshape", name, below, top, f"reshape_param {{ shape {{ {shape} }} }}")
