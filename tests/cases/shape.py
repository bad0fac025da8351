"""Cases of the layers that only rearrange elements."""

from __future__ import annotations

from caffe_lite.testing import Case, Refusal
from tests.oracles import shape as oracle


def reshape_case(shape, config, answer):
    return Case(
        "Reshape", [shape], f"reshape_param {{ {config} }}", expect=lambda x: x.reshape(answer)
    )


CASES = [
    Case("Concat", [(2, 3, 4), (2, 5, 4), (2, 1, 4)], expect=oracle.concat),
    Case(
        "Concat",
        [(2, 3), (5, 3)],
        "concat_param { axis: -2 }",
        expect=lambda *x: oracle.concat(*x, axis=0),
    ),
    Case(
        "Concat",
        [(2, 3), (5, 3)],
        "concat_param { concat_dim: 0 }",
        expect=lambda *x: oracle.concat(*x, axis=0),
    ),
    Case("Concat", [(2, 3, 4)], expect=oracle.concat),
    Case("Crop", [(2, 3, 8, 7), (1, 4, 5, 4)], expect=oracle.crop, gradient=(0,)),
    Case(
        "Crop",
        [(2, 3, 8, 7), (2, 3, 5, 4)],
        "crop_param { axis: 2 offset: 1 offset: 3 }",
        expect=lambda x, r: oracle.crop(x, r, 2, (1, 3)),
        gradient=(0,),
    ),
    Case(
        "Crop",
        [(3, 5, 8, 7), (9, 2, 5, 4)],
        "crop_param { axis: -3 offset: 2 }",
        expect=lambda x, r: oracle.crop(x, r, 1, (2,)),
        gradient=(0,),
    ),
    Case("Flatten", [(2, 3, 4, 5)], expect=lambda x: x.reshape(2, 60)),
    Case(
        "Flatten",
        [(2, 3, 4, 5, 6)],
        "flatten_param { axis: 2 end_axis: -2 }",
        expect=lambda x: x.reshape(2, 3, 20, 6),
    ),
    Case(
        "Permute",
        [(2, 3, 4, 5)],
        "permute_param { order: 0 order: 2 order: 3 order: 1 }",
        expect=lambda x: oracle.permute(x, [0, 2, 3, 1]),
    ),
    Case(
        "Permute",
        [(2, 3, 4)],
        "permute_param { order: 2 }",
        expect=lambda x: oracle.permute(x, [2]),
    ),
    Case("Permute", [(2, 3, 4)], expect=lambda x: x),
    Case(
        "Reshape",
        [(2, 18, 4, 5)],
        "reshape_param { pixelshuffler: 3 }",
        expect=lambda x: oracle.shuffle_pixels(x, 3),
    ),
    Case("Squeeze", [(2, 1, 3, 1)], expect=lambda x: x.reshape(2, 3)),
    Case("Squeeze", [(2, 1, 3, 1)], "squeeze_param { axis: -1 }", expect=lambda x: x[..., 0]),
    Case(
        "Squeeze",
        [(1, 2, 1, 3, 1)],
        "squeeze_param { axis: 2 axis: -5 }",
        expect=lambda x: x.reshape(2, 3, 1),
    ),
    Case(
        "Transpose",
        [(2, 3, 4, 5)],
        "transpose_param { dim: 3 dim: 0 dim: 2 dim: 1 }",
        expect=lambda x: oracle.permute(x, [3, 0, 2, 1]),
    ),
    reshape_case((2, 3, 4), "shape { dim: 0 dim: -1 dim: 2 }", (2, 6, 2)),
    reshape_case((2, 3, 4), "shape { dim: 0 dim: 12 }", (2, 12)),
    reshape_case((2, 3, 4, 5), "axis: 1 num_axes: 2 shape { dim: 2 dim: 6 }", (2, 2, 6, 5)),
    reshape_case((2, 3, 4), "axis: -1 shape { dim: 1 dim: 1 }", (2, 3, 4, 1, 1)),
    reshape_case((2, 3, 4), "axis: 1 num_axes: 0 shape { dim: -1 }", (2, 1, 3, 4)),
    Case(
        "ShuffleChannel",
        [(2, 6, 3, 5)],
        "shuffle_channel_param { group: 3 }",
        expect=lambda x: oracle.shuffle_channels(x, 3),
    ),
    Case("Slice", [(2, 6, 3)], expect=lambda x: oracle.slice_at(x, [2, 4]), tops=3),
    Case(
        "Slice",
        [(2, 6, 3)],
        "slice_param { axis: -2 slice_point: 1 slice_point: 4 }",
        expect=lambda x: oracle.slice_at(x, [1, 4]),
        tops=3,
    ),
    Case(
        "Slice",
        [(5, 2)],
        "slice_param { slice_dim: 0 slice_point: 2 }",
        expect=lambda x: oracle.slice_at(x, [2], axis=0),
        tops=2,
    ),
    Case("Slice", [(2, 5, 3)], expect=lambda x: x, tops=1),
    Case("Tile", [(2, 3, 4)], "tile_param { tiles: 3 }", expect=lambda x: oracle.tile(x, 3)),
    Case(
        "Tile",
        [(2, 3, 4)],
        "tile_param { axis: -1 tiles: 2 }",
        expect=lambda x: oracle.tile(x, 2, axis=2),
    ),
]

REFUSALS = [
    Refusal("Concat", [(2, 3, 4), (2, 3, 5)], "", at=".bottom[1]", says="all axes but axis 1"),
    Refusal("Concat", [(2, 3), (2, 3, 4)], "", at=".bottom[1]", says="all axes but axis 1"),
    Refusal(
        "Concat",
        [(2, 3), (2, 3)],
        "concat_param { axis: 1 concat_dim: 1 }",
        at="concat_dim",
        says="two names of one field",
    ),
    Refusal(
        "Concat",
        [(2, 3), (2, 3)],
        "concat_param { concat_dim: 2 }",
        at="concat_dim",
        says="axis 2 is out of range",
    ),
    Refusal(
        "Crop",
        [(2, 3, 8, 7), (2, 3, 5, 4)],
        "crop_param { axis: 1 offset: 1 offset: 2 }",
        at="offset",
        says="2 offsets for 3 cropped axes",
    ),
    Refusal(
        "Crop",
        [(2, 3, 8, 7), (2, 3, 5, 4)],
        "crop_param { offset: 4 }",
        at="offset",
        says="window of 5 from 4 on does not fit in the 8 of axis 2",
    ),
    Refusal("Crop", [(2, 3, 8, 7), (2, 3, 9, 7)], "", at=".bottom[1]", says="window of 9"),
    Refusal("Crop", [(2, 3, 8, 7), (2, 3, 8)], "", at=".bottom[1]", says="as many axes"),
    Refusal(
        "Flatten",
        [(2, 3, 4)],
        "flatten_param { axis: 2 end_axis: 1 }",
        at="end_axis",
        says="end_axis 1 is before axis 2",
    ),
    Refusal("Flatten", [(2, 3)], "flatten_param { axis: 2 }", at="axis", says="out of range"),
    Refusal(
        "Flatten", [(2, 3)], "flatten_param { end_axis: -3 }", at="end_axis", says="out of range"
    ),
    Refusal(
        "Permute",
        [(2, 3)],
        "permute_param { order: 0 order: 2 }",
        at="order[1]",
        says="axis 2 is out of range .* 0 to 1",
    ),
    Refusal(
        "Squeeze",
        [(2, 1, 3)],
        "squeeze_param { axis: [1, -1] }",
        at="axis[1]",
        says=r"axis 2 of \(2, 1, 3\) has the size 3, not 1",
    ),
    Refusal("Transpose", [(2, 3)], "transpose_param { dim: 1 }", at="dim", says="1 dim .* 2 axes"),
    Refusal(
        "Transpose",
        [(2, 3)],
        "transpose_param { dim: [1, -1] }",
        at="dim[1]",
        says="axis -1 is out of range",
    ),
    Refusal(
        "Permute",
        [(2, 3)],
        "permute_param { order: 1 order: 1 }",
        at="order[1]",
        says="axis 1 is named twice",
    ),
    Refusal(
        "Reshape",
        [(2, 8, 3, 4)],
        "reshape_param { pixelshuffler: 0 }",
        at="pixelshuffler",
        says="1 or more, not 0",
    ),
    Refusal(
        "Reshape",
        [(2, 8, 3)],
        "reshape_param { pixelshuffler: 2 }",
        at=".bottom[0]",
        says="4 axes",
    ),
    Refusal(
        "Reshape",
        [(2, 6, 3, 4)],
        "reshape_param { pixelshuffler: 2 }",
        at="pixelshuffler",
        says=r"6 channels are no multiple of 2\^2 = 4",
    ),
    Refusal(
        "Reshape",
        [(2, 3)],
        "reshape_param { shape { dim: 4 dim: 2 } }",
        at="shape",
        says=r"6 numbers \(2, 3\) cannot have the shape \[4, 2\]",
    ),
    Refusal(
        "Reshape",
        [(2, 3, 4)],
        "reshape_param { axis: 1 num_axes: 1 shape { dim: 2 dim: -1 } }",
        at="shape",
        says="in the place of axes 1 to 1",
    ),
    Refusal(
        "Reshape",
        [(2, 3)],
        "reshape_param { shape { dim: -1 dim: -1 } }",
        at="shape",
        says="only one size can be -1",
    ),
    Refusal(
        "Reshape",
        [(2, 3)],
        "reshape_param { shape { dim: -2 dim: 3 } }",
        at="shape.dim[0]",
        says="a size cannot be -2",
    ),
    Refusal(
        "Reshape",
        [(2, 3)],
        "reshape_param { shape { dim: 2 dim: 3 dim: 0 } }",
        at="shape.dim[2]",
        says="0 copies axis 2, but the bottom has 2 axes",
    ),
    Refusal(
        "Reshape",
        [(2, 3)],
        "reshape_param { axis: 1 num_axes: 2 shape { dim: 3 } }",
        at="num_axes",
        says="2 axes from axis 1 on cannot be replaced",
    ),
    Refusal(
        "Reshape", [(2, 3)], "reshape_param { axis: 3 }", at="axis", says="axis 3 is out of range"
    ),
    Refusal(
        "ShuffleChannel",
        [(2, 7, 3, 5)],
        "shuffle_channel_param { group: 3 }",
        at="group",
        says="7 channels .* 3 equal groups",
    ),
    Refusal("ShuffleChannel", [(7,)], "", at=".bottom[0]", says="needs channels"),
    Refusal("Slice", [(2, 5)], "", at=".top", says="do not split into 3 equal", tops=3),
    Refusal(
        "Slice",
        [(2, 5)],
        "slice_param { slice_point: 1 }",
        at="slice_point",
        says="1 slice points make 2 pieces, but there are 3 tops",
        tops=3,
    ),
    Refusal(
        "Slice",
        [(2, 5)],
        "slice_param { slice_point: 3 slice_point: 3 }",
        at="slice_point",
        says="must rise from 1 to at most 4",
        tops=3,
    ),
    Refusal(
        "Slice",
        [(2, 5)],
        "slice_param { slice_point: 5 }",
        at="slice_point",
        says="must rise from 1 to at most 4",
        tops=2,
    ),
    Refusal(
        "Slice",
        [(2, 6)],
        "slice_param { axis: 1 slice_dim: 1 }",
        at="slice_dim",
        says="two names of one field",
        tops=2,
    ),
    Refusal("Tile", [(2, 3)], "", at="tiles", says="say how many tiles"),
    Refusal("Tile", [(2, 3)], "tile_param { tiles: 0 }", at="tiles", says="0 must be at least 1"),
    Refusal("Tile", [(2, 3)], "tile_param { axis: 2 tiles: 2 }", at="axis", says="out of range"),
]
