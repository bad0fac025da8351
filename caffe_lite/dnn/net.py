"""Net and Layer: a Caffe net with the names that ``cv2.dnn`` gives it.

OpenCV's names are those of layers, where pycaffe's are those of blobs: `forward` gives what a
layer has computed, even if a later one works in place on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite import arguments
from caffe_lite.arguments import ArgumentError
from caffe_lite.dnn import backends, conversions
from caffe_lite.dnn.differences import compute_as_opencv
from caffe_lite.dnn.forward_call import asked_of_forward
from caffe_lite.dnn.inputs import Input, inputs_of, with_shapes
from caffe_lite.dnn.outputs import OutputReader
from caffe_lite.errors import NetError
from caffe_lite.layers.base import Layer as CaffeLayer
from caffe_lite.net.net import Net as CaffeNet
from caffe_lite.net.passes import rules
from caffe_lite.proto import caffe_pb2, nodes
from caffe_lite.proto.where import Where

Array = npt.NDArray[Any]

INPUT = "_input"
"""The name of the layer 0, which stands for all inputs of a net."""
_INPUT_TYPE = "__NetInputLayer__"
_OPENCV_TYPES = {"ConvolutionDepthwise": "Convolution"}


class Layer:
    """A layer of a `Net`, as ``net.getLayer(name)`` gives it."""

    preferableTarget = backends.DNN_TARGET_CPU  # noqa: N815

    def __init__(self, net: Net, name: str, kind: str) -> None:
        self._net = net
        self.name = name
        self.type = kind

    @property
    def blobs(self) -> tuple[Array, ...]:
        """Copies of the layer's weights: () for a layer that has none, or not yet.

        A list that is assigned takes their place; weights that it leaves out become 0.
        """
        return self._net.weights_of(self.name)

    @blobs.setter
    def blobs(self, values: Sequence[Array]) -> None:
        self._net.set_weights_of(self.name, list(values))


class Net:
    """A net as OpenCV's ``cv2.dnn.Net``; ``Net()`` is empty.  `readNetFromCaffe` makes it.

    Errors are a CaffeError of one line.
    """

    layer_class = Layer

    def __init__(self) -> None:
        self._param = caffe_pb2.NetParameter()
        self._where: Where | None = None
        self._file = ""
        self._weights: caffe_pb2.NetParameter | None = None
        self._inputs: list[Input] = []
        self._layers: list[nodes.Node] = []
        self._ids: dict[str, int] = {}
        self._net: CaffeNet | None = None
        self._missing: set[str] = set()

    @classmethod
    def of(
        cls,
        param: caffe_pb2.NetParameter,
        where: Where | None,
        file: str,
        weights: caffe_pb2.NetParameter | None,
    ) -> Net:
        """The net of a message, with the positions of its fields, and of weights, if given.

        It is built at once, or, if an input has no shape yet, by the first forward.
        """
        net = cls()
        net._param, net._where, net._file, net._weights = param, where, file, weights
        source = nodes.from_message(param, where, file)
        state = rules.state_of(source.param.state, caffe_pb2.TEST, 0, None)
        chosen = rules.select(source.nodes, state)
        net._layers = [node for node in chosen if node.type != "Input"]
        net._ids = {node.name: number for number, node in enumerate(net._layers, 1)}
        net._inputs = inputs_of(param, chosen)
        if all(each.shape for each in net._inputs):
            net._build()
        return net

    # -- what it is ------------------------------------------------------------------------

    def empty(self) -> bool:
        """Whether the net has no layers."""
        return not self._layers

    def getLayerNames(self) -> tuple[str, ...]:
        """The names of the layers, in order; inputs are none."""
        return tuple(node.name for node in self._layers)

    def getLayerId(self, layer: str) -> int:
        """The number of a layer, from 1 on; -1 if there is none of that name."""
        if not isinstance(layer, str):
            raise ArgumentError(f"a layer's name must be a str, not {arguments.described(layer)}")
        return 0 if layer == INPUT else self._ids.get(layer, -1)

    def getLayer(self, layerId: int | str) -> Layer:
        """A layer, by its number or its name."""
        number = self._number(layerId)
        if number == 0:
            return self.layer_class(self, INPUT, "")
        node = self._layers[number - 1]
        return self.layer_class(self, node.name, _type_of(node))

    def getLayerTypes(self) -> tuple[str, ...]:
        """The types of the layers, each once."""
        return tuple(sorted({_INPUT_TYPE, *map(_type_of, self._layers)}))

    def getLayersCount(self, layerType: str) -> int:
        """How many layers are of a type."""
        return sum(_type_of(node) == layerType for node in self._layers)

    def getUnconnectedOutLayers(self) -> npt.NDArray[np.int32]:
        """The numbers of the layers whose tops no other layer reads."""
        names = self.getUnconnectedOutLayersNames()
        return np.array([self._ids[name] for name in names], np.int32)

    def getUnconnectedOutLayersNames(self) -> tuple[str, ...]:
        """The names of the layers whose tops no other layer reads."""
        found = []
        for place, node in enumerate(self._layers):
            unread = set(node.param.top)
            for later in self._layers[place + 1 :]:
                if unread.intersection(later.param.bottom):
                    break
            else:
                found.append(node.name)
        return tuple(found)

    # -- inputs ----------------------------------------------------------------------------

    def setInput(
        self,
        blob: Array,
        name: str | None = "",
        scalefactor: float | None = 1.0,
        mean: float | Sequence[float] | None = None,
    ) -> None:
        """Set the value of the input of that name, or of the first; the values are copied.

        `blob` is an array of real numbers of any shape: the net takes that shape.  If given,
        `mean`, up to four numbers for the channels, is subtracted, and the rest multiplied by
        `scalefactor`.
        """
        if not isinstance(blob, np.ndarray):
            raise ArgumentError(f"blob must be an array, not {arguments.described(blob)}")
        target = self._input(name) if name else next(iter(self._inputs), None)
        if target is None:
            raise NetError("the net has no input")
        target.set(
            blob,
            conversions.real(scalefactor, "scalefactor", 1.0),
            conversions.scalar(mean, "mean"),
        )

    def setInputsNames(self, inputBlobNames: Sequence[str]) -> None:
        """Give the inputs, in their order, other names for `setInput`."""
        given = conversions.names(inputBlobNames, "inputBlobNames")
        if len(given) > len(self._inputs):
            raise ArgumentError(f"the net has {len(self._inputs)} inputs, not {len(given)}")
        for each, name in zip(self._inputs, given):
            each.name = name

    def setInputShape(self, inputName: str, shape: Sequence[int]) -> None:
        """Set the shape of an input for which the prototxt has none."""
        target = self._input(inputName)
        if target.shape:
            raise NetError(
                f'input "{inputName}" has the shape {target.shape} already; setInput changes it'
            )
        target.shape = arguments.sizes(shape, "shape")

    # -- running ---------------------------------------------------------------------------

    def forward(self, *given: Any, **named: Any) -> Array | tuple[Array, ...]:
        """What layers compute from the inputs: fresh arrays of float32.

        ``forward()`` and ``forward(outputName)`` give the first top of the last layer, or of that
        of this name.  ``forward(outBlobNames)`` gives a tuple: the first top of each layer in that
        list.  ``forward(outputBlobs, outputName)``, with a list of arrays or None first, gives all
        tops of the one layer.  Only layers up to the last that is asked for are run.
        """
        call = asked_of_forward(given, named)
        if isinstance(call, list):
            return tuple(tops[0] for tops in self._run(call))
        name, every = call
        (tops,) = self._run([name or self._last()])
        return tuple(tops) if every else tops[0]

    def forwardAndRetrieve(self, outBlobNames: Sequence[str]) -> tuple[tuple[Array, ...], ...]:
        """All tops of each layer in a list of names."""
        return tuple(map(tuple, self._run(conversions.names(outBlobNames, "outBlobNames"))))

    def getPerfProfile(self) -> tuple[int, npt.NDArray[np.float64]]:
        """How long the last forward took, in ticks of ``cv2.getTickFrequency()``: nanoseconds.

        The sum, and the time of each layer; that of layers which ran as one is at the first.
        """
        times = np.zeros(len(self._layers))
        if self._net is None:
            return 0, times
        spent = self._net.runner.nanoseconds
        for number, index in enumerate(self._indices()):
            times[number] = spent[index]
        return sum(spent), times

    # -- weights ---------------------------------------------------------------------------

    def getParam(self, layer: int | str, numParam: int | None = 0) -> Array:
        """A copy of a layer's weights of this index."""
        handle = self.getLayer(layer)
        index, blobs = conversions.integer(numParam, "numParam"), handle.blobs
        if not 0 <= index < len(blobs):
            raise ArgumentError(
                f'layer "{handle.name}" ({handle.type}) has {len(blobs)} weight blobs, no {index}'
            )
        return blobs[index]

    def setParam(self, layer: int | str, numParam: int, blob: Array) -> None:
        """Set a layer's weights of this index, to as many numbers as they have."""
        handle = self.getLayer(layer)
        blobs = self._caffe_layer(handle.name).blobs if handle.name != INPUT else []
        index = arguments.integer(numParam, "numParam")
        if not 0 <= index < len(blobs):
            raise ArgumentError(
                f'layer "{handle.name}" ({handle.type}) has {len(blobs)} weight blobs, no {index}'
            )
        blobs[index].data[...] = _fitting(blob, blobs[index].shape, handle.name, index)
        self._built().runner.weights_changed()
        self._missing.discard(handle.name)

    def weights_of(self, name: str) -> tuple[Array, ...]:
        """Copies of a layer's weights, in the shapes that OpenCV gives them."""
        if name == INPUT or name in self._missing or (self._net is None and not self._weights):
            return ()
        layer = self._caffe_layer(name)
        return tuple(_shown(blob.data, layer.type) for blob in layer.blobs)

    def set_weights_of(self, name: str, values: Sequence[Array]) -> None:
        """Set all weights of a layer; those of which there is no value become 0."""
        blobs = self._caffe_layer(name).blobs if name != INPUT else []
        if not values or len(values) > len(blobs):
            raise ArgumentError(
                f'layer "{name}" has {len(blobs)} weight blobs, and {len(values)} were given'
            )
        fitting = [
            _fitting(value, blob.shape, name, index)
            for index, (value, blob) in enumerate(zip(values, blobs))
        ]
        for index, blob in enumerate(blobs):
            blob.data[...] = fitting[index] if index < len(fitting) else 0
        self._built().runner.weights_changed()
        self._missing.discard(name)

    # -- what changes nothing here ---------------------------------------------------------

    def setPreferableBackend(self, backendId: int) -> None:
        """Accept a backend.  One that is not here is a warning, and the net runs on the CPU."""
        backends.ask_for("BACKEND", backendId)

    def setPreferableTarget(self, targetId: int) -> None:
        """Accept a target.  One that is not here is a warning, and the net runs on the CPU."""
        backends.ask_for("TARGET", targetId)

    def enableFusion(self, fusion: bool) -> None:
        """Accept either: layers run as one where that changes no result."""
        conversions.flag(fusion, "fusion")

    def enableWinograd(self, useWinograd: bool) -> None:
        """Accept either: the algorithm of each convolution follows from its shape."""
        conversions.flag(useWinograd, "useWinograd")

    # -- inside ----------------------------------------------------------------------------

    def _build(self) -> CaffeNet:
        """Build the net for the shapes of its inputs."""
        param, where = with_shapes(self._param, self._where, self._inputs)
        source = nodes.from_message(param, where, self._file)
        for node in source.nodes:
            compute_as_opencv(node.param)
        net = CaffeNet(source, caffe_pb2.TEST)
        if self._weights is None:
            self._missing = set(net.params)
        else:
            self._missing = set(net.copy_from(self._weights).missing)
            self._weights = None
        net.freeze()  # whoever sets weights tells it
        self._net = net
        return net

    def _built(self) -> CaffeNet:
        if self._net is not None:
            return self._net
        shapeless = [each.name for each in self._inputs if not each.shape]
        if shapeless or not self._layers:
            what = f'input "{shapeless[0]}" has no shape yet' if shapeless else "the net is empty"
            raise NetError(f"{what}: call setInput or setInputShape first" if shapeless else what)
        return self._build()

    def _run(self, names: Sequence[str]) -> list[list[Array]]:
        """All tops of layers, as copies, after running the layers up to the last of them."""
        if not names:
            names = [self._last()]
        for name in names:
            self._number(name)
        for each in self._inputs:
            if each.values is None:
                raise NetError(f'input "{each.name}" has no values: call setInput first')
        net = self._built()
        if self._missing:
            first = next(name for name in net.params if name in self._missing)
            count = len(self._missing)
            raise NetError(
                f'layer "{first}"{f" and {count - 1} others have" if count > 1 else " has"} no '
                "weights: give a caffemodel that has them, or set them with getLayer(name).blobs"
            )
        for each in self._inputs:
            each.fill(net.blobs[each.blob])
        return OutputReader(net).run([net.layer_dict[name] for name in names])

    def _last(self) -> str:
        if not self._layers:
            raise NetError("the net is empty")
        return self._layers[-1].name

    def _number(self, layer: Any) -> int:
        """The number of a layer that is given by number or name."""
        if isinstance(layer, str):
            number = self.getLayerId(layer)
            if number < 0:
                raise NetError(f'the net has no layer "{layer}"')
            return number
        return arguments.integer(layer, "a layer's number", 0, len(self._layers))

    def _input(self, name: str) -> Input:
        for each in self._inputs:
            if each.name == name:
                return each
        known = ", ".join(f'"{each.name}"' for each in self._inputs) or "none"
        raise NetError(f'the net has no input "{name}"; its inputs: {known}')

    def _caffe_layer(self, name: str) -> CaffeLayer:
        return self._built().layer_dict[name]

    def _indices(self) -> list[int]:
        """The index in the Caffe net of each layer: that has Input and Split layers, too."""
        order = {name: index for index, name in enumerate(self._built().layer_dict)}
        return [order[node.name] for node in self._layers]


def _type_of(node: nodes.Node) -> str:
    return _OPENCV_TYPES.get(node.type, node.type)


def _shown(values: Array, kind: str) -> Array:
    """A copy of weights in OpenCV's shape: a list of biases is a matrix there."""
    if values.ndim == 1:
        values = values.reshape((1, -1) if kind == "InnerProduct" else (-1, 1))
    return np.array(values)


def _fitting(value: Any, shape: tuple[int, ...], name: str, index: int) -> Array:
    """New weights in the shape of the old."""
    given = arguments.numbers(value, "blob")
    if given.size != np.prod(shape, dtype=np.int64):
        raise ArgumentError(
            f'blob {index} of layer "{name}" has the shape {shape}, which an array {given.shape} '
            "does not fill"
        )
    return given.reshape(shape)
