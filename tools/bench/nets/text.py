"""Prototxt text, layer by layer."""

from __future__ import annotations


class Text:
    """A list of layers; each method appends some and returns the name of the last top."""

    def __init__(self) -> None:
        self.layers: list[str] = []

    def add(self, kind: str, name: str, bottoms: str, top: str, settings: str = "") -> str:
        """A layer of any type; `bottoms` are separated by spaces."""
        below = " ".join(f'bottom: "{bottom}"' for bottom in bottoms.split())
        line = f'layer {{ name: "{name}" type: "{kind}" {below} top: "{top}" {settings}}}'
        self.layers.append(line)
        return top

    def conv(self, name: str, bottom: str, outputs: int, kernel: int, more: str = "") -> str:
        """A convolution with a square kernel."""
        settings = f"num_output: {outputs} kernel_size: {kernel} {more}".strip()
        return self.add("Convolution", name, bottom, name, f"convolution_param {{ {settings} }} ")

    def same(self, kind: str, name: str, bottoms: str, settings: str = "") -> str:
        """A layer whose top has its name."""
        return self.add(kind, name, bottoms, name, settings)

    def act(self, name: str, blob: str, settings: str = "") -> str:
        """An in-place ReLU with a name of its own."""
        return self.add("ReLU", name, blob, blob, settings)

    def relu(self, blob: str) -> str:
        """An in-place ReLU."""
        return self.act(f"{blob}/relu", blob)

    def conv_relu(self, name: str, bottom: str, outputs: int, kernel: int, more: str = "") -> str:
        """A convolution with an in-place ReLU."""
        return self.relu(self.conv(name, bottom, outputs, kernel, more))

    def conv_norm(self, name: str, bottom: str, outputs: int, kernel: int, more: str = "") -> str:
        """A convolution without bias, then in-place BatchNorm and Scale."""
        if "bias_term" not in more:
            more += " bias_term: false"
        top = self.conv(name, bottom, outputs, kernel, more)
        self.add("BatchNorm", f"{name}/bn", top, top)
        return self.add("Scale", f"{name}/scale", top, top, "scale_param { bias_term: true } ")

    def pool(self, name: str, bottom: str, settings: str) -> str:
        """A Pooling layer."""
        return self.add("Pooling", name, bottom, name, f"pooling_param {{ {settings} }} ")

    def lrn(self, name: str, bottom: str) -> str:
        """AlexNet's LRN."""
        settings = "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 } "
        return self.add("LRN", name, bottom, name, settings)

    def dropout(self, blob: str, ratio: float) -> str:
        """An in-place Dropout."""
        settings = f"dropout_param {{ dropout_ratio: {ratio} }} "
        return self.add("Dropout", f"{blob}/drop", blob, blob, settings)

    def dense(self, name: str, bottom: str, outputs: int) -> str:
        """An inner product."""
        settings = f"inner_product_param {{ num_output: {outputs} }} "
        return self.add("InnerProduct", name, bottom, name, settings)

    def reshape(self, name: str, below: str, top: str, sizes: str) -> str:
        """A Reshape to the sizes that are separated by spaces."""
        shape = " ".join(f"dim: {size}" for size in sizes.split())
        return self.add("Reshape", name, below, top, f"reshape_param {{ shape {{ {shape} }} }}")


MAX_2_2 = "pool: MAX kernel_size: 2 stride: 2"
MAX_3_1 = "pool: MAX kernel_size: 3 stride: 1 pad: 1"
MAX_3_2 = "pool: MAX kernel_size: 3 stride: 2"
GLOBAL = "pool: AVE global_pooling: true"
