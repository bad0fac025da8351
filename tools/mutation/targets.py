"""Which tests belong to a module: first its own, then the wider ones of its folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent


class Tests(NamedTuple):
    """Files for pytest, and the families of cases that they are about; no family means all."""

    paths: tuple[str, ...]
    families: tuple[str, ...] = ()
    compiled: bool = False
    """Whether the kernels run compiled: for long tests, of modules that hold no kernels."""


BATTERY = ("tests/layers/test_every_layer.py", "tests/layers/test_values.py")
SHARED = {
    "__init__": ("neuron",),
    "base": ("neuron", "linear", "shape", "batch_norm", "loss"),
    "class_loss": ("softmax_loss", "loss", "focal_loss"),
    "elementwise": ("neuron", "piecewise", "selu"),
    "fusion": ("batch_norm", "arithmetic", "linear"),
    "labels": ("classify", "softmax_loss", "margin", "ohem"),
    "registry": ("neuron", "classify"),
    "_matching": ("multibox",),
    "declarations": ("neuron", "batch_norm"),
    "description": ("neuron",),
    "_gate": ("neuron", "linear"),
    "prefetching": ("data",),
    "python": ("neuron",),
}
"""The families that show what the modules without cases of their own do."""
CASES_OF_DATA = {
    "annotated": ("annotated_data",),
    "annotation": ("annotated_data",),
    "batch_sampler": ("annotated_data",),
    "detections": ("detection", "evaluate"),
    "distortion": ("annotated_data",),
    "image_gt": ("image_gt_data",),
    "image_pairs": ("image_pairs",),
    "label_map": ("detection", "annotated_data"),
    "resizing": ("annotated_data",),
    "video": ("video",),
}
"""The families, beside that of the data layers, which show what a reader does."""
RULES_OF_NETS = ("tests/checking/test_rules.py", "tests/checking/test_rules_of_nets.py")
ALSO = {
    "layers/base": ("tests/net/test_net.py", "tests/net/test_chains.py"),
    "layers/_gate": ("tests/net/test_gate.py", "tests/net/test_net.py"),
    "layers/fusion": ("tests/net/test_fuse.py", "tests/net/test_chains.py"),
    "layers/batch_norm": ("tests/net/test_fuse.py", "tests/net/test_chains.py",
                          "tests/net/test_fork_norms.py"),
    "layers/registry": ("tests/net/test_net.py",),
    "layers/description": ("tests/layers/test_description.py",),
    "layers/piecewise": ("tests/net/test_net.py",),
    "layers/python": ("tests/layers/test_python.py",),
    "layers/annotated_data": ("tests/data/test_annotated.py",),
    "layers/prefetching": ("tests/layers/test_data.py", "tests/data/test_golden.py"),
    "layers/data": ("tests/layers/test_data.py", "tests/data/test_readers.py"),
    "layers/detection": ("tests/layers/test_detection.py",),
    "net/passes/unread": ("tests/proto/test_unread.py",),
    "net/passes/memory": ("tests/test_limits.py",),
    "net/passes/shares": ("tests/distributed/test_share.py",),
    "net/running/runner": ("tests/net/test_net.py", "tests/net/test_chains.py",
                           "tests/net/test_fuse.py", "tests/net/test_gate.py",
                           "tests/test_limits.py"),
    "net/running/steps": ("tests/net/test_chains.py", "tests/net/test_fuse.py"),
    "net/running/batches": ("tests/pycaffe/test_net.py", "tests/net/test_inputs.py"),
    "net/net": ("tests/pycaffe/test_net.py", "tests/net/test_memory.py",
                "tests/net/test_inputs.py", "tests/pycaffe/test_arguments.py",
                "tests/distributed/test_share.py"),
    "net/summary": ("tests/cli/test_summarize.py",),
    "net/dry": ("tests/net/test_summary.py", "tests/checking/test_dry.py"),
    "net/link": ("tests/net/test_plan.py", "tests/net/test_gate.py", "tests/net/test_net.py"),
    "net/weights": ("tests/net/test_net.py", "tests/pycaffe/test_net.py"),
    "net/log": ("tests/net/test_net.py",),
    "net/errors": ("tests/net/test_net.py",),
    "solver/divided": ("tests/distributed/test_ranks.py",),
    "solver/ranks": ("tests/distributed/test_ranks.py", "tests/distributed/test_reduction.py"),
    "solver/reduction": ("tests/distributed/test_reduction.py",
                         "tests/distributed/test_ranks.py"),
    "solver/solver": ("tests/solver/test_edge_values.py", "tests/solver/test_observer.py",
                      "tests/solver/test_building.py", "tests/distributed/test_ranks.py"),
    "solver/updates": ("tests/solver/test_solver.py", "tests/solver/test_edge_values.py"),
    "solver/report": ("tests/solver/test_solver.py", "tests/solver/test_observer.py"),
    "solver/snapshot": ("tests/solver/test_solver.py",),
    "data/hdf5": ("tests/layers/test_data.py",),
    "data/resizing": ("tests/data/test_resizing_boxes.py",),
    "data/transformer": ("tests/data/test_resizing.py", "tests/layers/test_data.py"),
    "data/readers": ("tests/layers/test_data.py",),
    "data/cursor": ("tests/data/test_db.py", "tests/data/test_readers.py"),
    "data/db_lmdb": ("tests/data/test_db.py",),
    "data/db_leveldb": ("tests/data/test_db.py",),
    "data/png": ("tests/data/test_images.py",),
    "proto/text": ("tests/proto/test_unknown.py", "tests/test_registration.py"),
    "proto/layout": ("tests/test_registration.py", "tests/proto/test_unknown.py"),
    "proto/private_fields": ("tests/test_registration.py",),
    "proto/private_messages": ("tests/test_registration.py",),
    "proto/tokens": ("tests/proto/test_text.py", "tests/proto/test_unknown.py"),
    "proto/tree": ("tests/test_registration.py", "tests/proto/test_unknown.py"),
    "proto/unknown": ("tests/proto/test_unknown.py", "tests/test_registration.py"),
    "proto/upgrade_v0": ("tests/proto/test_upgrade.py",),
    "proto/where": ("tests/proto/test_text.py", "tests/proto/test_nodes.py"),
    "proto/fields": ("tests/proto/test_text.py",),
    "proto/literals": ("tests/proto/test_text.py",),
    "proto/atomic": ("tests/proto/test_files.py",),
    "proto/blobs": ("tests/proto/test_files.py", "tests/net/test_net.py"),
    "proto/hdf5": ("tests/proto/test_files.py", "tests/net/test_net.py",
                   "tests/solver/test_snapshot.py"),
    "proto/hdf5_files": ("tests/data/test_hdf5_policy.py", "tests/proto/test_files.py"),
    "proto/hdf5_policy": ("tests/data/test_hdf5_policy.py", "tests/proto/test_files.py"),
    "proto/hdf5_trial": ("tests/data/test_hdf5_policy.py",),
    "proto/hdf5_writing": ("tests/data/test_hdf5_policy.py", "tests/proto/test_files.py",
                           "tests/solver/test_snapshot.py"),
    "data/annotated": ("tests/data/test_annotated_steps.py",),
    "data/annoset": ("tests/cli/test_create_annoset.py",),
    "data/annotation": ("tests/cli/test_create_annoset.py", "tests/data/test_annotated.py"),
    "data/handles": ("tests/data/test_db.py", "tests/data/test_lmdb_tree.py"),
    "data/frames": ("tests/data/test_frame_places.py",),
    "data/image_gt": ("tests/data/test_image_gt_maps.py", "tests/data/test_image_gt_views.py"),
    "data/cifar": ("tests/cli/test_convert_cifar_data.py",),
    "data/imageset": ("tests/data/test_imageset_sizes.py", "tests/cli/test_convert_imageset.py",
                      "tests/cli/test_create_annoset.py"),
    "data/mean": ("tests/cli/test_compute_image_mean.py",),
    "data/mnist": ("tests/cli/test_convert_mnist_data.py",
                   "tests/cli/test_convert_mnist_siamese_data.py"),
    "data/image_sizes": ("tests/cli/test_create_annoset.py",),
    "data/lmdb_tree": ("tests/data/test_lmdb_tree.py", "tests/data/test_db.py"),
    "data/npy": ("tests/data/test_mean.py", "tests/pycaffe/test_io.py"),
    "data/outputs": ("tests/layers/test_outputs.py",),
    "checking/__init__": ("tests/checking/test_rules.py",),
    "checking/findings": ("tests/checking/test_rules.py", "tests/checking/test_writing.py"),
    "checking/dry": ("tests/checking/test_rules.py",),
    "checking/subjects": ("tests/checking/test_rules.py", "tests/checking/test_sources.py",
                          "tests/cli/test_check.py"),
    "checking/forecast/__init__": ("tests/checking/test_forecast.py",),
    "checking/forecast/machine": ("tests/checking/test_forecast_machine.py",
                                  "tests/checking/test_forecast.py"),
    "checking/forecast/memory": ("tests/checking/test_forecast_memory.py",
                                 "tests/checking/test_forecast.py"),
    "checking/forecast/time": ("tests/checking/test_forecast_time.py",
                               "tests/checking/test_forecast.py"),
    "checking/rules/building": RULES_OF_NETS,
    "checking/rules/fields": ("tests/checking/test_rules.py",
                              "tests/checking/test_rules_of_fields.py"),
    "checking/rules/losses": RULES_OF_NETS,
    "checking/rules/multipliers": ("tests/checking/test_rules_of_multipliers.py",
                                   "tests/checking/test_rules.py"),
    "checking/rules/phases": RULES_OF_NETS,
    "checking/rules/registry": ("tests/checking/test_rules.py",),
    "checking/rules/solvers": ("tests/checking/test_rules.py",
                               "tests/checking/test_rules_of_solvers.py"),
    "checking/rules/sources": (*RULES_OF_NETS, "tests/checking/test_rules_of_sources.py"),
    "checking/rules/weights": RULES_OF_NETS,
    "checking/rules/wiring": RULES_OF_NETS,
    "solver/resume": ("tests/solver/test_resume.py",),
    "solver/states": ("tests/solver/test_resume.py",),
}  # fmt: skip
"""More tests of a module's own."""
COMPILED = {
    "net/running/runner": ("tests/net/test_freeze.py",),
    "net/running/stretches": ("tests/net/test_stretches.py", "tests/net/test_freeze.py"),
}
"""Tests of a module's own that are skipped where nothing is compiled."""
WIDER = {
    "layers": ("tests/layers/test_costs.py", "tests/layers/test_description.py",
               "tests/net/test_fuse.py", "tests/net/test_gate.py", "tests/net/test_memory.py"),
    "net": ("tests/net/test_chains.py", "tests/net/test_freeze.py", "tests/net/test_fuse.py",
            "tests/net/test_gate.py", "tests/net/test_inputs.py", "tests/net/test_learnable.py",
            "tests/net/test_memory.py", "tests/net/test_net.py", "tests/net/test_plan.py",
            "tests/net/test_rules.py", "tests/net/test_splits.py", "tests/net/test_summary.py",
            "tests/net/test_unread.py", "tests/net/test_weights.py", "tests/net/test_wiring.py",
            "tests/pycaffe/test_net.py"),
    "solver": ("tests/solver", "tests/pycaffe/test_solver.py"),
    "proto": ("tests/proto", "tests/net/test_net.py", "tests/net/test_unread.py",
              "tests/solver/test_snapshot.py"),
    "data": ("tests/data", "tests/layers/test_data.py", "tests/pycaffe/test_io.py",
             "tests/layers/test_every_layer.py"),
    "checking": ("tests/checking", "tests/cli/test_check.py"),
}  # fmt: skip


def tests_of(module: Path) -> Iterator[Tests]:
    """The tests to run, the quickest first.  `module` is a path below ``caffe_lite/``."""
    folder, name = module.parts[0], module.stem
    key = module.with_suffix("").as_posix()
    own: list[str] = []
    families: tuple[str, ...] = ()
    if folder == "net":
        families = ("neuron", "pooling")  # whose cases test_memory.py runs
    if folder == "data":
        families = ("data", *CASES_OF_DATA.get(name, ()))
    if folder == "layers":
        families = SHARED.get(name, (name,))
        own += BATTERY
    mirror = f"tests/{folder}/test_{name}.py"
    own += [path for path in (mirror, *ALSO.get(key, ())) if path not in own]
    if folder == "layers":  # where the kernels' tests use the layers
        own.append(f"tests/kernels/test_{name}.py")
    own = [path for path in own if (ROOT / path).exists()]
    if own:
        yield Tests(tuple(own), families)
    if key in COMPILED:
        yield Tests(COMPILED[key], compiled=True)
    wider = tuple(path for path in WIDER[folder] if path not in own)
    yield Tests(wider, families)
    if folder == "layers":
        yield Tests(("tests/layers/test_every_field.py",))
    if folder == "net":
        yield Tests(("tests/net/test_random_nets.py",), compiled=True)
