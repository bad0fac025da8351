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
    """Before the first element of each axis."""
    dilation: Sizes
    pad_end: Sizes | None = None
    """After the last element; None for as much as before the first.

    Kernels read zeros wherever a window reaches beyond the end: they need the output's shape only.
    """

    @property
    def ends(self) -> Sizes:
        """The padding after the last element of each axis."""
        return self.pad if self.pad_end is None else self.pad_end

    def _spans(self) -> list[int]:
        """The size of the dilated kernel on each axis."""
        return [d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation)]

    def padded(self, spatial: Sizes) -> Sizes:
        """The sizes with the padding on both sides."""
        return tuple(n + p + e for n, p, e in zip(spatial, self.pad, self.ends))

    def output(self, spatial: Sizes) -> Sizes:
        """floor((padded - (dilation (kernel - 1) + 1)) / stride) + 1 for each axis."""
        padded = self.padded(spatial)
        return tuple((n - k) // s + 1 for n, k, s in zip(padded, self._spans(), self.stride))

    def within(self, spatial: Sizes) -> Window:
        """The same window without a stride that leads beyond the padded array.

        Such a stride gives one output, whatever it is; but work arrays grow with it.
        """
        strides = (min(s, n + 1) for n, s in zip(self.padded(spatial), self.stride))
        return self._replace(stride=tuple(strides))

    def is_far(self, spatial: Sizes) -> bool:
        """Whether the window reaches so far that most of what it meets is padding."""
        return any(
            max(p, e, k - 1) > 4 * (n + 256)
            for n, k, p, e in zip(spatial, self._spans(), self.pad, self.ends)
        )

    def input(self, spatial: Sizes) -> Sizes:
        """stride (out - 1) + dilation (kernel - 1) + 1 - both pads for each axis."""
        sizes = zip(spatial, self._spans(), self.stride, self.pad, self.ends)
        return tuple(s * (n - 1) + k - p - e for n, k, s, p, e in sizes)

    def pooled(self, spatial: Sizes, floor: bool = False) -> Sizes:
        """ceil((padded - kernel) / stride) + 1 for each axis, or the same with floor.

        With padding on any axis, one less where the last window would start in the far padding.
        """
        counts, has_padding = [], any(pad > 0 for pad in (*self.pad, *self.ends))
        for n, k, s, p, e in zip(spatial, *self[:3], self.ends):
            rest = n + p + e - k
            count = (rest // s if floor else -(-rest // s)) + 1
            clipped = has_padding and (count - 1) * s >= n + p
            counts.append(count - clipped)
        return tuple(counts)

    def flipped(self) -> Window:
        """Of the convolution that goes back where the stride is 1: pads may be negative."""
        before, after = (
            tuple(k - 1 - p for k, p in zip(self._spans(), pads)) for pads in (self.pad, self.ends)
        )
        return self._replace(pad=before, pad_end=None if self.pad_end is None else after)

    def planar(self) -> PlanarWindow:
        """On two axes; one that is missing is the first, with a kernel of 1."""
        missing = 2 - len(self.kernel)
        axes = ((default,) * missing + each for default, each in zip((1, 1, 0, 1), self[:4]))
        return PlanarWindow(*(size for axis in axes for size in axis))
