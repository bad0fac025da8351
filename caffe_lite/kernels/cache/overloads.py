"""Numba's interface to a cache: the compiled code of a function for each types of arguments."""

from __future__ import annotations

import hashlib
import pickle
import re
from collections.abc import Callable
from typing import Any

from numba.core.caching import _Cache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from caffe_lite.kernels.cache.files import discard, read, write
from caffe_lite.kernels.cache.folder import cache_folder, stamp


class KernelCache(_Cache):
    """The compiled code of one function, in a file for each types of its arguments."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._enabled = True

    @property
    def cache_path(self) -> str:
        """The folder of the files."""
        return str(cache_folder())

    def enable(self) -> None:
        """Load and save from now on."""
        self._enabled = True

    def disable(self) -> None:
        """Neither load nor save from now on."""
        self._enabled = False

    def flush(self) -> None:
        """Load nothing any more; Numba asks for this before it compiles anew."""
        self._enabled = False

    def load_overload(self, sig: Any, target_context: Any) -> CompileResult | None:
        """The code for these types, ready to run; None if it must be compiled."""
        target_context.refresh()  # so that what the code links to is there
        if not self._enabled:
            return None
        key = self._key(sig, target_context.codegen())
        name, purpose = self._name(key)
        content = read(name, purpose)
        if content is None:
            return None
        try:
            kept, parts = pickle.loads(content)
            # types that differ may be written alike
            return CompileResult._rebuild(target_context, *parts) if kept == key else None
        except Exception as error:  # made by this version, but of classes that are elsewhere now
            return discard(cache_folder() / name, f"cannot be loaded: {error!r}")

    def save_overload(self, sig: Any, data: CompileResult) -> None:
        """Keep the code for these types, if it holds no addresses of this process."""
        if not self._enabled or data.lifted or data.library.has_dynamic_globals:
            return
        key = self._key(sig, data.codegen)
        write(*self._name(key), dumps((key, data._reduce())))

    def _key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        """What the code depends on, besides the sources."""
        cells = tuple(each.cell_contents for each in self._function.__closure__ or ())
        closure = hashlib.sha256(dumps(cells)).hexdigest() if cells else ""
        return sig, codegen.magic_tuple(), self._function.__code__.co_code, closure

    def _name(self, key: tuple[Any, ...]) -> tuple[str, str]:
        """The name of the file for a key, and its purpose in words."""
        function = self._function
        code = function.__code__
        place = function.__module__, function.__qualname__, code.co_firstlineno
        purpose = repr((*place, stamp(code.co_filename), *key))
        module = function.__module__.rpartition(".")[2]
        short = re.sub(r"\W+", "_", f"{module}.{function.__qualname__}")[:60]
        return f"{short}-{hashlib.sha256(purpose.encode()).hexdigest()[:32]}.nbc", purpose
