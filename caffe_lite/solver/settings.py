"""The settings in a solver file: validation, and the nets that they name."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from caffe_lite import glog
from caffe_lite.errors import CaffeError, SolverError
from caffe_lite.proto import caffe_pb2, files, nodes
from caffe_lite.proto.unread import Unread, unread_fields
from caffe_lite.proto.where import Where
from caffe_lite.solver import lr_policy, report

Source = str | os.PathLike[str] | files.SolverSource | caffe_pb2.SolverParameter

HEEDED = ("eval_type", "ap_version", "show_per_class_result")
"""The fields of forks that have an effect here."""

TRAIN_NETS = ("net", "net_param", "train_net", "train_net_param")

_log = glog.logger("caffe_lite.solver")


class Settings:
    """A SolverParameter, the positions of its fields, and its file, if any."""

    def __init__(self, source: Source, allow_unknown_fields: bool = False) -> None:
        self.where: Where | None = None
        self.file: str | None = None
        self._allow_unknown_fields = allow_unknown_fields
        self._nets: dict[str, nodes.NetSource] = {}  # by file: one may have all nets
        if isinstance(source, caffe_pb2.SolverParameter):
            self.param = source
            return
        if not isinstance(source, files.SolverSource):
            source = files.read_solver(source, allow_unknown_fields)
        self.param, self.where = source.param, source.where
        self.file = source.file

    def refuse(self, field: str, message: str) -> SolverError:
        """The error for a field, with its position; the caller raises it."""
        location = self.where.at(field) if self.where is not None else None
        subject = None if location or self.file is None else self.file
        error = SolverError(message)
        error.at(location, subject)
        return error

    # -- checks ----------------------------------------------------------------------------

    def check(self) -> None:
        """Raise SolverError for invalid or contradictory settings, before anything is built."""
        for problem in self.problems():
            raise problem

    def problems(self) -> Iterator[CaffeError]:
        """What is invalid or contradictory: one error from each of the checks that fails."""
        for check in (
            self._check_counts,
            self._check_choices,
            self._check_forks,
            lambda: lr_policy.check(self.param, self.refuse),
            self._check_train_net,
            self._check_test_nets,
        ):
            try:
                check()
            except SolverError as error:
                yield error

    def _check_counts(self) -> None:
        for field in ("iter_size", "average_loss"):
            if getattr(self.param, field) < 1:
                raise self.refuse(
                    field, f"{field} must be at least 1, not {getattr(self.param, field)}"
                )

    def _check_choices(self) -> None:
        for field, values in {"regularization_type": ("L1", "L2"), **report.CHOICES}.items():
            if getattr(self.param, field) not in values:
                raise self.refuse(
                    field,
                    f'unknown {field} "{getattr(self.param, field)}"; use {" or ".join(values)}',
                )

    def report_unread(self) -> None:
        """Warn of each harmless field that only forks of Caffe have: it has no effect here."""
        for each in self.unread():
            position = f"{self.where.at(each.path)}: " if self.where else ""
            _log.warning("%s%s", position, each.warning())

    def _check_forks(self) -> None:
        for each in self.unread():
            if each.refusal:
                raise self.refuse(each.path, each.refusal)

    def unread(self) -> Iterator[Unread]:
        """The fields that only forks of Caffe have and that nothing reads."""
        heeded = {*HEEDED}
        if self.param.lr_policy == lr_policy.PLATEAU:
            heeded.add("plateau_winsize")
        return unread_fields(self.param, True, lambda name, path: name in heeded)

    def _check_train_net(self) -> None:
        fields = [field for field in TRAIN_NETS if self.param.HasField(field)]
        if not fields:
            raise self.refuse(
                "net", f"there is no net to train; set one of {', '.join(TRAIN_NETS)}"
            )
        if len(fields) > 1:
            raise self.refuse(
                fields[1], f"{' and '.join(fields)} are both set; keep only one net to train"
            )

    def _check_test_nets(self) -> None:
        param = self.param
        named = len(param.test_net) + len(param.test_net_param)
        tests = len(param.test_iter)
        shared = param.HasField("net") or param.HasField("net_param")
        if tests < named or (tests > named and not shared):
            raise self.refuse(
                "test_iter" if tests else "test_net",
                f"{tests} test_iter for {named} test nets; set one test_iter for each",
            )
        if param.test_state and len(param.test_state) != tests:
            raise self.refuse(
                "test_state",
                f"{len(param.test_state)} test_state for {tests} test nets; "
                "set one for each, or none",
            )
        if tests and param.test_interval <= 0:
            raise self.refuse(
                "test_interval" if param.HasField("test_interval") else "test_iter",
                f"test_iter needs a test_interval of at least 1, not {param.test_interval}",
            )

    # -- nets ------------------------------------------------------------------------------

    def train_net(self) -> nodes.NetSource:
        """The net to train, with its NetState."""
        param = self.param
        field = next(field for field in TRAIN_NETS if param.HasField(field))
        if field.endswith("_param"):
            _log.info("Creating training net specified in %s.", field)
        else:
            _log.info("Creating training net from %s file: %s", field, getattr(param, field))
        return self._source(field, getattr(param, field), caffe_pb2.TRAIN, [param.train_state])

    def test_nets(self) -> Iterator[nodes.NetSource]:
        """The test nets, in the order of `test_iter`."""
        param = self.param
        for index, (field, value) in enumerate(self._test_fields()):
            named = "net file: " + value if isinstance(value, str) else field
            _log.info("Creating test net (#%d) specified by %s", index, named)
            states = [param.test_state[index]] if param.test_state else []
            yield self._source(field, value, caffe_pb2.TEST, states)

    def _test_fields(self) -> Iterator[tuple[str, str | caffe_pb2.NetParameter]]:
        """Caffe's order: messages, files, then the shared net for each remaining `test_iter`."""
        param = self.param
        for index, message in enumerate(param.test_net_param):
            yield f"test_net_param[{index}]", message
        for index, path in enumerate(param.test_net):
            yield f"test_net[{index}]", path
        named = len(param.test_net_param) + len(param.test_net)
        for _ in range(len(param.test_iter) - named):
            if param.HasField("net"):
                yield "net", param.net
            else:
                yield "net_param", param.net_param

    def _source(
        self,
        field: str,
        value: str | caffe_pb2.NetParameter,
        phase: int,
        states: Sequence[caffe_pb2.NetState],
    ) -> nodes.NetSource:
        """A net from the solver or a file; the solver's states are merged into its own."""
        if isinstance(value, caffe_pb2.NetParameter):
            where = self.where.child(field) if self.where else None
            source = nodes.from_message(value, where, self.file or "")
        else:
            self._find(field, value)
            if value not in self._nets:
                self._nets[value] = self.read_net(value)
            source = self._nets[value].copy()
        state = caffe_pb2.NetState(phase=phase)
        for each in (source.param.state, *states):
            state.MergeFrom(each)
        source.param.state.CopyFrom(state)
        return source

    def net_files(self) -> list[str]:
        """The files of nets that the solver names."""
        param = self.param
        named = [getattr(param, field) for field in ("net", "train_net") if param.HasField(field)]
        return [*named, *param.test_net]

    def read_net(self, path: str) -> nodes.NetSource:
        """A net's file, which a solver may name several times."""
        return files.read_net(path, self._allow_unknown_fields)

    def _find(self, field: str, path: str) -> None:
        """Raise SolverError if a net file does not exist, with the folder where it would."""
        if os.path.exists(path):
            return
        message = f'{field} "{path}" does not exist in the current folder {os.getcwd()}'
        folders = Path(self.file).resolve().parents if self.file else ()
        home = next((folder for folder in folders if os.path.exists(folder / path)), None)
        if home is not None:
            message += f"; paths in a solver are relative to it, so run this from {home}"
        raise self.refuse(field, message)
