"""How a window slides over the spatial axes of an array: for convolution and for pooling."""

from __future__ import annotations

from typing import NamedTuple

Sizes = tuple[int, ...]


class PlanarWindow(NamedTuple):
    """A window on the two spatial axes of a plane, as plans of kernels have it."""

    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    pad_h: int
    pad_w: int
    dilation_h: int
    dilation_w: int


class Window(NamedTuple):
    """How a kernel slides, one number for each spatial axis."""

    kernel: Sizes
    stride: Sizes
    pad: Sizes
    dilation: Sizes

    def output(self, spatial: Sizes) -> Sizes:
        """floor((in + 2 pad - (dilation (kernel - 1) + 1)) / stride) + 1 for each axis."""
        return tuple(
            (n + 2 * p - (d * (k - 1) + 1)) // s + 1 for n, k, s, p, d in zip(spatial, *self)
        )

    def within(self, spatial: Sizes) -> Window:
        """The same window without a stride that leads beyond the padded array.

        Such a stride gives one output, whatever it is; but work arrays grow with it.
        """
        strides = (min(s, n + 2 * p + 1) for n, s, p in zip(spatial, self.stride, self.pad))
        return self._replace(stride=tuple(strides))

    def is_far(self, spatial: Sizes) -> bool:
        """Whether the window reaches so far that most of what it meets is padding."""
        return any(
            max(p, d * (k - 1)) > 4 * (n + 256)
            for n, k, p, d in zip(spatial, self.kernel, self.pad, self.dilation)
        )

    def input(self, spatial: Sizes) -> Sizes:
        """stride (out - 1) + dilation (kernel - 1) + 1 - 2 pad for each axis."""
        return tuple(
            s * (n - 1) + d * (k - 1) + 1 - 2 * p for n, k, s, p, d in zip(spatial, *self)
        )

    def pooled(self, spatial: Sizes, floor: bool = False) -> Sizes:
        """ceil((in + 2 pad - kernel) / stride) + 1 for each axis, or the same with floor.

        With padding on any axis, one less where the last window would start in the far padding.
        """
        counts = []
        for n, k, s, p in zip(spatial, *self[:3]):
            rest = n + 2 * p - k
            count = (rest // s if floor else -(-rest // s)) + 1
            clipped = any(pad > 0 for pad in self.pad) and (count - 1) * s >= n + p
            counts.append(count - clipped)
        return tuple(counts)

    def flipped(self) -> Window:
        """Of the convolution that goes back where the stride is 1: pads may be negative."""
        pads = (d * (k - 1) - p for k, p, d in zip(self.kernel, self.pad, self.dilation))
        return self._replace(pad=tuple(pads))

    def planar(self) -> PlanarWindow:
        """On two axes; one that is missing is the first, with a kernel of 1."""
        missing = 2 - len(self.kernel)
        axes = ((default,) * missing + each for default, each in zip((1, 1, 0, 1), self))
        return PlanarWindow(*(size for axis in axes for size in axis))
