"""How much memory a forward and a backward pass hold: two meters that agree on what they mean.

``tracemalloc`` does not see torch's memory at all, and the resident size of a process is its
history. So the bytes that autograd keeps alive are counted where they are saved, exactly and
repeatably on any device, and beside them stands the peak of everything that the allocator handed
out.
"""

import gc
import os
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.profiler import ProfilerActivity, profile


class _Saved:
    """A saved tensor whose death the meter can observe.

    It holds a detached alias: the tensor itself would close a cycle through its own graph node
    where an operation saves its output, and such memory would never be given back.
    """

    __slots__ = ("__weakref__", "tensor")

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor.detach()


class SavedBytes:
    """A context that counts the bytes which autograd holds for the backward pass.

    Attributes:
        held: bytes held now.
        peak: the most that were held at any moment inside the context.

    Args:
        ignore: tensors whose storage does not count, such as parameters: they live anyway.

    A storage that is saved several times counts once and goes when its last saver goes. Graphs
    built outside the context are not seen.
    """

    def __init__(self, ignore: Iterable[Tensor] = ()) -> None:
        self.held = self.peak = 0
        self._ignored = {_storage(t) for t in ignore}
        self._savers: Counter[int] = Counter()
        self._hooks = saved_tensors_hooks(self._pack, lambda saved: saved.tensor)

    def __enter__(self) -> "SavedBytes":
        self._hooks.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._hooks.__exit__(*exception)

    def _pack(self, tensor: Tensor) -> _Saved:
        saved, storage = _Saved(tensor), _storage(tensor)
        if storage not in self._ignored:
            size = tensor.untyped_storage().nbytes()
            self._savers[storage] += 1
            if self._savers[storage] == 1:
                self.held += size
                self.peak = max(self.peak, self.held)
            weakref.finalize(saved, self._release, storage, size)
        return saved

    def _release(self, storage: int, size: int) -> None:
        self._savers[storage] -= 1
        if self._savers[storage] == 0:
            self.held -= size


def _storage(tensor: Tensor) -> int:
    """What identifies the memory behind a tensor while that memory lives."""
    return tensor.untyped_storage()._cdata


def peak_allocated(work: Callable[[], object], device: torch.device) -> int:
    """The most bytes that torch had allocated during ``work()``, beyond those before it.

    On CUDA this is the allocator's own peak; on the CPU the running sum of the profiler's memory
    events. Temporaries, stage buffers and gradients count, unlike in ``SavedBytes``.
    """
    gc.collect()
    if device.type == "cuda":
        return _peak_on_cuda(work, device)
    with (
        _silent_stderr(),
        profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler,
    ):
        work()
    # The attribute is optional in its annotation, and set once the context has ended.
    results: Any = profiler.profiler.kineto_results  # type: ignore[union-attr]
    events = [e for e in results.events() if e.name() == "[memory]"]
    live = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    return peak


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Keep the profiler's C++ log, which no setting turns off, from the terminal."""
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


def _peak_on_cuda(work: Callable[[], object], device: torch.device) -> int:
    torch.cuda.synchronize(device)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    work()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before
