"""Writing nets in Python, as pycaffe's ``caffe.net_spec``.

    from caffe_lite import NetSpec, layers as L, params as P

    n = NetSpec()
    n.data, n.label = L.Data(source="train_lmdb", backend=P.Data.LMDB, batch_size=64, ntop=2)
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=20)
    n.relu1 = L.ReLU(n.conv1, in_place=True)
    n.loss = L.SoftmaxWithLoss(n.relu1, n.label)
    print(n.to_proto())

A layer type is a function of the tops it reads; its fields are keyword arguments.  Nothing is
checked against the layer type but the names and kinds of fields: `Net` does the rest.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from caffe_lite import arguments
from caffe_lite.errors import CaffeError
from caffe_lite.proto import caffe_pb2, private_fields
from caffe_lite.proto.fields import is_repeated
from caffe_lite.proto.literals import nearest
from caffe_lite.proto.schema import is_core
from caffe_lite.proto.tree import value_text

__all__ = [
    "FieldError",
    "Function",
    "Layers",
    "NetSpec",
    "NotATopError",
    "Parameters",
    "Top",
    "UnknownFieldError",
    "assign_proto",
    "layers",
    "param_name_dict",
    "params",
    "to_proto",
]


MOST_TOPS = 100_000
"""How many tops a layer may be given: more are a slip of the pen, and take gigabytes."""


_INTEGERS = frozenset(
    (
        FieldDescriptor.CPPTYPE_INT32,
        FieldDescriptor.CPPTYPE_INT64,
        FieldDescriptor.CPPTYPE_UINT32,
        FieldDescriptor.CPPTYPE_UINT64,
    )
)


class NotATopError(CaffeError, TypeError):
    """Something else than a `Top` stands where a layer's bottom or a net's top must be."""


class UnknownFieldError(CaffeError, AttributeError):
    """A name that is no field of the message, no layer of the net, no value of the type."""


class FieldError(CaffeError, TypeError, ValueError):
    """A value of the wrong kind for its field."""


_MESSAGE_OF_ANOTHER = {
    "CTCGreedyDecoder": "ctc_decoder",
    "ConvolutionDepthwise": "convolution",
    "Deconvolution": "convolution",
    "Deconvolution3D": "convolution3d",
    "DepthwiseConvolution": "convolution",
    "GeneralContrastiveLoss": "general_contrastive_loss",
    "GeneralTripletLoss": "general_triplet_loss",
    "ImageLabelmapData": "image_data",
    "ImageSegData": "image_data",
    "Im2col": "convolution",
    "LSTM": "recurrent",
    "Lstm": "lstm",
    "MultiLabelImageData": "image_data",
    "NegReLU": "relu",
    "PriorBoxClustered": "prior_box",
    "RNN": "recurrent",
    "ROIAlign": "roi_pooling",
    "ReLU6": "relu6",
    "SmoothL1Loss": "smoothl1",
    "SoftmaxWithLoss": "softmax",
    "SoftmaxWithLossOHEM": "softmax",
    "WarpCTCLoss": "ctc_loss",
}
"""Layer types whose parameter message does not have their name, to its field without "_param"."""


@cache
def param_name_dict() -> dict[str, str]:
    """Layer types, to the field of their parameter message without "_param".

    ``{"Convolution": "convolution", "Deconvolution": "convolution", "ReLU": "relu", …}``
    """
    described: list[Any] = list(caffe_pb2.LayerParameter.DESCRIPTOR.fields)
    fields = [field for field in described if field.name.endswith("_param")]
    names: dict[str, str] = {}
    for field in sorted(fields, key=lambda field: (not is_core(field), field.number)):
        kind = field.message_type.name.removesuffix("Parameter")
        names.setdefault(kind, field.name.removesuffix("_param"))
    return names | _MESSAGE_OF_ANOTHER


def assign_proto(proto: Message, name: str, val: Any) -> None:
    """Set field `name` of a message from Python values.

    A dict fills a message, a list a repeated field, added to what is there; a single value for a
    repeated field is a list of one.  Enums are given by number or by name.  Raises
    UnknownFieldError for a name the message does not have, FieldError for a value that does not
    fit; both are also what protobuf would raise, AttributeError and TypeError.
    """
    field: Any = proto.DESCRIPTOR.fields_by_name.get(name)
    if field is None:
        raise _unknown(f'{proto.DESCRIPTOR.name} has no field "{name}"', name, [proto])
    if is_repeated(field):
        target = getattr(proto, name)
        for value in val if _is_list(val) else [val]:
            if field.message_type:
                _fill_message(target.add(), name, value)
            else:
                _convert(proto, field, value, target.append)
    elif field.message_type:
        getattr(proto, name).SetInParent()
        _fill_message(getattr(proto, name), name, val)
    else:
        _convert(proto, field, val, lambda value: setattr(proto, name, value))


def _is_list(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping))


def _fill_message(message: Message, name: str, value: Any) -> None:
    if isinstance(value, Mapping):
        for key, each in value.items():
            assign_proto(message, key, each)
    elif isinstance(value, Message) and value.DESCRIPTOR.full_name == message.DESCRIPTOR.full_name:
        message.MergeFromString(value.SerializePartialToString())
    else:
        raise FieldError(
            f'"{name}" is a {message.DESCRIPTOR.name}: give it a dict of its fields, not {value!r}'
        )


def _convert(proto: Message, field: Any, value: Any, put: Callable[[Any], None]) -> None:
    """Hand `put` a scalar as protobuf takes it."""
    if hasattr(value, "item") and getattr(value, "size", 0) == 1:
        value = value.item()  # a number of NumPy's
    if isinstance(value, float) and value.is_integer() and field.cpp_type in _INTEGERS:
        value = int(value)  # as Python 3 divides: pad=(kernel_size - 1) / 2
    place = f'"{field.name}" of {proto.DESCRIPTOR.name}'
    if field.enum_type and isinstance(value, str):
        if value not in field.enum_type.values_by_name:
            known = ", ".join(known.name for known in field.enum_type.values)
            raise FieldError(f'{place} is one of {known}, not "{value}"')
        value = field.enum_type.values_by_name[value].number
    try:
        put(value)
    except (TypeError, ValueError) as error:
        raise FieldError(f"{place} cannot be {value!r}: {error}") from None


def _unknown(message: str, name: str, protos: Iterable[Message]) -> UnknownFieldError:
    near = nearest(name, [known.name for proto in protos for known in proto.DESCRIPTOR.fields])
    return UnknownFieldError(f'{message}; did you mean "{near}"?' if near else message)


class Top:
    """A blob: what layer `fn` gives as its top number `n`."""

    __slots__ = ("fn", "n")

    def __init__(self, fn: Function, n: int) -> None:
        self.fn = fn
        self.n = n

    def __repr__(self) -> str:
        return f"Top({self.fn.type_name}, {self.n})"

    def to_proto(self) -> caffe_pb2.NetParameter:
        """The net that computes this blob, its names made up."""
        return to_proto(self)


class Function:
    """A layer: its type, the tops it reads and its fields, with as many tops as ``ntop`` says.

    ``in_place=True`` makes it write its bottoms.  Raises NotATopError for an input that is none.
    """

    def __init__(self, type_name: str, inputs: Iterable[Top], params: Mapping[str, Any]) -> None:
        self.type_name = type_name
        self.inputs = tuple(inputs)
        for index, given in enumerate(self.inputs):
            if not isinstance(given, Top):
                raise NotATopError(
                    f"{type_name} input {index} is not a Top (type is {type(given)})"
                )
        self.params = dict(params)
        self.ntop = arguments.integer(self.params.pop("ntop", 1), "ntop", 0, MOST_TOPS)
        self.in_place = bool(self.params.pop("in_place", False))
        self.tops = tuple(Top(self, n) for n in range(self.ntop))

    def __repr__(self) -> str:
        return f"Function({self.type_name})"

    def to_proto(self) -> caffe_pb2.NetParameter:
        """The net of this layer, which may have no tops, and of all it reads."""
        return to_proto(self)

    def fill(self, layer: caffe_pb2.LayerParameter) -> None:
        """Set the fields: those of the type's own message, or of the layer's.

        A name that ends in "param" is always the layer's: ``param``, ``convolution_param``.
        """
        own = param_name_dict().get(self.type_name)
        protos: list[Message] = [getattr(layer, f"{own}_param")] if own else []
        for name, value in self.params.items():
            places = [layer] if name.endswith("param") else [*protos, layer]
            places = [proto for proto in places if name in proto.DESCRIPTOR.fields_by_name]
            if not places and private_fields.is_registered(name):
                _keep(layer, name, value)
                continue
            if not places:
                text = f'layer type {self.type_name} has no field "{name}"'
                raise _unknown(text, name, [*protos, layer])
            assign_proto(places[0], name, value)


def _keep(layer: caffe_pb2.LayerParameter, name: str, value: Any) -> None:
    """Give a layer a field that a program has registered (`caffe_lite.register`)."""
    cls = private_fields.message_class(name)
    try:
        if cls is None:
            written = f": {value_text(value)}"
        else:
            message = cls()
            _fill_message(message, name, value)
            written = f" {{ {text_format.MessageToString(message, as_one_line=True)} }}"
    except TypeError as error:
        raise FieldError(f'"{name}" of {layer.type}: {error}') from None
    layer.unknown_field.add(name=name, text=written)


class _Writer:
    """Turns functions into layers, each after those it reads, and names what has no name."""

    def __init__(self, names: Mapping[Top | Function, str]) -> None:
        self._names = dict(names)
        self._count: Counter[str] = Counter()
        self.layers: OrderedDict[Function, caffe_pb2.LayerParameter] = OrderedDict()

    def add(self, last: Function) -> None:
        """Add a function and whatever it reads, inputs first."""
        waiting = [last]
        while waiting:
            missing = [top.fn for top in waiting[-1].inputs if top.fn not in self.layers]
            if missing:
                waiting.extend(reversed(missing))
                continue
            fn = waiting.pop()
            if fn not in self.layers:
                self.layers[fn] = self._layer(fn)

    def _layer(self, fn: Function) -> caffe_pb2.LayerParameter:
        layer = caffe_pb2.LayerParameter(type=fn.type_name)
        layer.bottom.extend(self.layers[top.fn].top[top.n] for top in fn.inputs)
        layer.top.extend(layer.bottom if fn.in_place else map(self._name, fn.tops))
        layer.name = self._name(fn.tops[0] if fn.tops else fn)
        fn.fill(layer)
        return layer

    def _name(self, item: Top | Function) -> str:
        if item not in self._names:
            kind = item.fn.type_name if isinstance(item, Top) else item.type_name
            self._count[kind] += 1
            self._names[item] = f"{kind}{self._count[kind]}"
        return self._names[item]

    def net(self) -> caffe_pb2.NetParameter:
        """What was added, as a net."""
        return caffe_pb2.NetParameter(layer=self.layers.values())


def to_proto(*tops: Top | Function) -> caffe_pb2.NetParameter:
    """The net that computes these tops: names are a layer's type and a number, "Convolution1"."""
    writer = _Writer({})
    for top in tops:
        writer.add(_function(top, "to_proto was given"))
    return writer.net()


def _function(value: Any, what: str) -> Function:
    if isinstance(value, Top):
        return value.fn
    if isinstance(value, Function):
        return value
    hint = "; give each of them a name of its own" if isinstance(value, tuple) else ""
    raise NotATopError(f"{what} {value!r}, which is not a Top{hint}")


class NetSpec:
    """A net being written: its attributes, or items, are its tops, in the order they were set.

    A top's attribute name becomes the blob's name, and that of the layer whose first top it is.
    Layers without tops are set as they are: ``n.silence = L.Silence(n.label, ntop=0)``.  It is
    read like a dict of tops, which ``del n.conv1`` leaves out of the net unless another reads it.
    """

    tops: OrderedDict[str, Top | Function]

    def __init__(self) -> None:
        object.__setattr__(self, "tops", OrderedDict())

    def __setattr__(self, name: str, value: Any) -> None:
        self.tops[name] = value

    def __getattribute__(self, name: str) -> Any:
        if name in _LIKE_A_DICT and name in self.tops:  # a top may be named "values"
            return self.tops[name]
        return super().__getattribute__(name)

    def __getattr__(self, name: str) -> Any:
        tops = self.__dict__.get("tops", {})
        if name not in tops:
            raise _nothing_named(name)
        return tops[name]

    def __delattr__(self, name: str) -> None:
        if name not in self.tops:
            raise _nothing_named(name)
        del self.tops[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.tops[name] = value

    def __getitem__(self, name: str) -> Any:
        return self.tops[name]

    def __delitem__(self, name: str) -> None:
        del self.tops[name]

    def __contains__(self, name: str) -> bool:
        return name in self.tops

    def __iter__(self) -> Iterator[str]:
        return iter(self.tops)

    def __len__(self) -> int:
        return len(self.tops)

    def keys(self) -> list[str]:
        """The names, in order; a list, as ``n.keys()[-1]`` is how programs find the last."""
        return list(self.tops)

    def values(self) -> list[Top | Function]:
        """The tops, in order."""
        return list(self.tops.values())

    vals = values  # SSD's name

    def items(self) -> list[tuple[str, Top | Function]]:
        """The names with their tops, in order."""
        return list(self.tops.items())

    def update(self, name: str, params: Mapping[str, Any]) -> None:
        """Set more fields of the layer of a top, as in SSD: ``n.update("fc6", {"dilation": 6})``.

        Raises UnknownFieldError if nothing has that name.
        """
        if name not in self.tops:
            raise _nothing_named(name)
        _function(self.tops[name], f'"{name}" is').params.update(params)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.tops})

    def to_proto(self) -> caffe_pb2.NetParameter:
        """The net as a message; ``str()`` of it is its prototxt."""
        functions = [_function(top, f'"{name}" is') for name, top in self.tops.items()]
        writer = _Writer({top: name for name, top in self.tops.items()})
        for function in functions:
            writer.add(function)
        return writer.net()


_LIKE_A_DICT = frozenset(("items", "keys", "update", "values", "vals"))


def _nothing_named(name: str) -> UnknownFieldError:
    return UnknownFieldError(f'nothing is named "{name}" in this net yet')


class Layers:
    """``L.<type>(*bottoms, **fields)``: a layer of any type; see `Function`.

    Gives its top, a tuple of them for ``ntop=2`` and more, or itself for ``ntop=0``.
    """

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)

        def layer(*bottoms: Top, **fields: Any) -> Any:
            function = Function(name, bottoms, fields)
            if not function.tops:
                return function
            return function.tops if function.ntop > 1 else function.tops[0]

        layer.__name__ = layer.__qualname__ = name
        return layer


class _Enums:
    """The values of enums of one parameter message."""

    def __init__(self, name: str) -> None:
        self._message = f"{name}Parameter"
        self._class = getattr(caffe_pb2, self._message, None)
        if self._class is None:
            raise UnknownFieldError(f"there is no message {self._message}")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(self._class, name):
            raise UnknownFieldError(f"{self._message} has no value {name}")
        return getattr(self._class, name)


class Parameters:
    """``P.<type>.<value>``: the number of an enum's value, such as ``P.Pooling.AVE``."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Enums(name)


layers = Layers()
params = Parameters()
