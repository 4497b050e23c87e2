"""The step through ``torch.compile``: compiled once a field and shape, kept across solves.

What is compiled is a stepper's ``advance`` as it stands, field, combinations and error estimate in
one graph, and its ``start``. Times, step sizes and tolerances go in as 0-dimensional
tensors, so that no value of theirs is compiled in.
"""

import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor

# Kept problems; each holds its field alive.
KEPT = 64
# Calls one after another that each had to compile again, after which compiling is given up: the
# field depends on something that every call changes, such as a counter of its evaluations.
PATIENCE = 3


class CompiledSteps:
    """The functions ``start`` and ``advance`` of a stepper, compiled at their first call.

    On a GPU, and without autograd, what they launch is captured as a graph of the device's at the
    second call and launched as one from the third. Such a graph writes to the same memory each
    time, so whatever is needed after the next call must go through ``keep``.

    Args:
        start, advance: the two functions of a stepper that was made to be traced.
        captured: whether they may be captured; the caller knows whether autograd is on.
        loop: a whole solve as one function; ``None`` where the method has none.
        method: the method, which lives as long as what was compiled for it.

    Where there is no compiler, or it cannot compile the field, or has to do so at every call, a
    warning says so once and the functions run as they are. The loop is useful only compiled, so it
    then returns ``None``.
    """

    def __init__(
        self,
        start: Callable,
        advance: Callable,
        *,
        captured: bool = False,
        loop: Callable | None = None,
        method: object = None,
    ) -> None:
        self.captured, self.method = captured, method
        self.start, self.advance = _Compiled(start, captured), _Compiled(advance, captured)
        self.loop = None if loop is None else _Compiled(loop, otherwise=_nothing)

    def keep(self, results: Any) -> Any:
        """The same tensors in memory of their own, where the next call would write over them."""
        if not self.captured:
            return results
        if isinstance(results, Tensor):
            return results.clone()
        return None if results is None else tuple(self.keep(x) for x in results)


def _nothing(*_: Any) -> None:
    """Takes the place of a loop that could not be compiled."""


class _Compiled:
    """One function that is compiled when it is first called.

    Args:
        function: what is compiled.
        captured: whether what it launches on a GPU is captured.
        otherwise: what takes its place where that fails; the function itself, and a warning, where
            it is ``None``.
    """

    def __init__(
        self, function: Callable, captured: bool = False, otherwise: Callable | None = None
    ) -> None:
        self.function, self.captured, self.otherwise = function, captured, otherwise
        self.ready: Callable | None = None
        self.in_a_row = 0

    def __call__(self, *arguments: Any) -> tuple[Any, float]:
        """The result, and the seconds that compiling took in this call."""
        if self.ready is not None:
            started, before = time.perf_counter(), _graphs()
            try:
                result = self.ready(*arguments)
            except Exception as error:
                if not _comes_from_dynamo(error):
                    raise
                # Something that the graph depends on has changed: compiled anew below.
                self.ready = None
            else:
                if _graphs() == before:
                    self.in_a_row = 0
                    return result, 0.0
                # torch by itself compiles again a field that has changed, in its training mode say.
                self.in_a_row += 1
                if self.in_a_row == PATIENCE:
                    self._give_up(
                        "something in the field, such as a counter, changes at every call"
                    )
                return result, time.perf_counter() - started
        started = time.perf_counter()
        try:
            result = self._compile(arguments)
        except Exception as error:
            # The field's own errors come out of the plain call, unwrapped.
            result = (self.otherwise or self.function)(*arguments)
            self._give_up((str(error).strip().splitlines() or [type(error).__name__])[0])
        return result, time.perf_counter() - started

    def _give_up(self, reason: str) -> None:
        """Run without a compiler from now on; warn where the function itself takes its place."""
        self.ready = self.otherwise or self.function
        if self.otherwise is None:
            warnings.warn(f"not compiled, so run as it is: {reason}", stacklevel=3)

    def _compile(self, arguments: tuple) -> Any:
        from torch._dynamo import config

        from neural_ode.products import LinearLayers

        on_cpu = all(x.device.type == "cpu" for x in arguments if isinstance(x, Tensor))
        options: dict[str, Any] = {}
        if on_cpu:
            # C++ calls the kernels one after another, which Python would take longer for.
            options = {"cpp_wrapper": True, "post_grad_custom_post_pass": LinearLayers()}
        elif self.captured:
            options = {"triton.cudagraphs": True}
        # The annotations of torch.compile do not know isolate_recompiles yet.
        compiler: Any = torch.compile
        compiled = compiler(
            self.function,
            fullgraph=True,
            dynamic=False,
            isolate_recompiles=True,
            options=options,
        )
        # The adjoint's field differentiates inside the graph.
        with config.patch(trace_autograd_ops=True):
            result = compiled(*arguments)
        self.ready = compiled
        return result


def _comes_from_dynamo(error: Exception) -> bool:
    """Whether the compiler raised it, and not the code that it compiled."""
    # Dynamo takes a second to import: only a solve that compiles should wait for it.
    from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException

    return isinstance(error, TorchDynamoException | FailOnRecompileLimitHit)


def _graphs() -> int:
    """How many graphs this process has compiled so far."""
    from torch._dynamo.utils import counters

    return counters["stats"]["unique_graphs"]


_kept: OrderedDict[Hashable, CompiledSteps] = OrderedDict()


def find_steps(key: Hashable, make: Callable[[], CompiledSteps]) -> CompiledSteps:
    """The compiled functions of the problem with this key, made at the first request."""
    if key not in _kept:
        _kept[key] = make()
        if len(_kept) > KEPT:
            _kept.popitem(last=False)
    _kept.move_to_end(key)
    return _kept[key]
