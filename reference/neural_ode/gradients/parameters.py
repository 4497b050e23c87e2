"""The tensors beside the state that a gradient method differentiates by, as one flat vector."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils import parametrize
from torch.utils.weak import TensorWeakRef

from neural_ode.arguments import describe
from neural_ode.field import Field, changed, keep_autocast, same_values
from neural_ode.kept import Looks, refilled, version
from neural_ode.transforms import transforming, unwrap


@dataclass(frozen=True)
class Wanted:
    """The tensors that get a gradient.

    Attributes:
        references: weak references to those that require one when the equation is solved. Autograd
            keeps the tensors alive until the backward pass is over.
        module: the field, where it is a module and all of them are its parameters.
        named: whether the user has named them.
        way: the gradient method, as messages name it.
    """

    references: Sequence[TensorWeakRef]
    module: nn.Module | None
    named: bool
    way: str

    @classmethod
    def of(
        cls, field: Field, params: Sequence[Tensor] | None, tensors: Sequence[Tensor], way: str
    ) -> "Wanted":
        """Those of the tensors that require a gradient; ``params`` is what the user has named."""
        module = _module_of(field)
        if params is not None and module is not None:
            own = {id(p) for p in parameters_of(module)}
            module = module if all(id(p) in own for p in tensors) else None
        wanted = [TensorWeakRef(p) for p in tensors if p.requires_grad]
        return cls(wanted, module, params is not None, way)

    @property
    def tensors(self) -> list[Tensor]:
        """Those of them that are alive."""
        return [p for reference in self.references if (p := reference()) is not None]

    def check(self) -> None:
        """Raise RuntimeError where the field no longer computes with them.

        Their gradients would be zeros, or those of other tensors.
        """
        tensors = self.tensors
        if not all(p.requires_grad for p in tensors):
            raise RuntimeError(
                "a parameter of the field was frozen between the forward and the backward pass:"
                " freeze it before the equation is solved, or after the backward pass"
            )
        now = None if self.module is None else {id(p) for p in parameters_of(self.module)}
        gone = len(tensors) < len(self.references)
        if gone or not (now is None or all(id(p) in now for p in tensors)):
            raise RuntimeError(
                f"the field has other parameters than when the equation was solved, but {self.way}"
                " evaluates it again on the way back: call backward() while they are in place, as"
                " inside of torch.func.functional_call, or use Backprop()"
            )


def _module_of(field: Field) -> nn.Module | None:
    """The module that the field is, or that the user gave to ``odeint``."""
    given = getattr(getattr(field, "__self__", None), "func", field)
    return given if isinstance(given, nn.Module) else None


def prepare(
    field: Field, params: Sequence[Tensor] | None, y0: Float[Tensor, "*state"], way: str
) -> tuple[Field, Wanted]:
    """The field as the way back calls it, and the tensors that get a gradient.

    These are those named, or the parameters of a module.

    Raises:
        ValueError: for a plain function with none named, inside a transform of ``torch.func``, and
            for cached parametrizations; the message names the gradient method.
    """
    if transforming():
        raise ValueError(
            f"{way} cannot be used inside torch.func or forward-mode differentiation: use"
            " Backprop(), which odeint does"
        )
    if params is None and not isinstance(field, nn.Module):
        raise ValueError(
            f"{way} cannot see what a plain function closes over: make the field an nn.Module or"
            " name its tensors in params=..., () if there are none"
        )
    tensors = params if params is not None else parameters_of(cast(nn.Module, field))
    if any(isinstance(p, UninitializedParameter) for p in tensors):
        raise ValueError(
            f"a lazy parameter of the field has no shape yet, which {way} needs: call the field"
            " once before"
        )
    wanted = Wanted.of(field, params, tensors, way)
    _check_not_cached(field, wanted)
    return keep_autocast(field, y0.device.type), wanted


def _check_not_cached(field: Field, wanted: Wanted) -> None:
    """Raise ValueError for a field whose weights are computed once, without a graph."""
    # torch has no public name for whether a block of parametrize.cached() is entered.
    if not parametrize._cache_enabled or not wanted.references:
        return
    given = _module_of(field)
    if given is not None and any(map(parametrize.is_parametrized, given.modules())):
        raise ValueError(
            f"{wanted.way} solves without a graph, so inside torch.nn.utils.parametrize.cached() a"
            " parametrized weight would be kept without its gradient: leave that block, or use"
            " Backprop()"
        )


def keep_params(gradient: Any) -> None:
    """Keep the ``params`` of a gradient method as a tuple, for an iterator gives them only once."""
    if gradient.params is not None:
        object.__setattr__(gradient, "params", as_tensors("params", gradient.params))


def as_tensors(name: str, values: Any) -> tuple[Tensor, ...]:
    """Several tensors as a tuple, each once.

    Autograd adds up what it gets for each, so one that is named twice would count twice.

    Raises:
        TypeError: for anything else, one tensor included.
    """
    if isinstance(values, str | bytes | Mapping | Tensor) or not isinstance(values, Iterable):
        raise TypeError(f"{name} is {describe(values)}, expected a sequence of tensors")
    kept = tuple(values)
    for value in kept:
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} holds {describe(value)}, expected tensors")
    return tuple({id(value): value for value in kept}.values())


def parameters_of(module: nn.Module) -> list[Tensor]:
    """The parameters of a module, also of a replica that ``nn.DataParallel`` has made.

    A replica holds copies of the parameters as plain tensors, through which the gradient reaches
    the parameters themselves.
    """
    copies = [
        copy
        for replica in module.modules()
        for copy in getattr(replica, "_former_parameters", {}).values()
    ]
    # A tensor that two modules share is there twice.
    return list({id(p): p for p in [*module.parameters(), *copies]}.values())


class Kind(NamedTuple):
    """What a tensor must be known by to be taken out of a flat vector again."""

    shape: torch.Size
    dtype: torch.dtype

    @property
    def entries(self) -> int:
        """How many real numbers it holds."""
        return self.shape.numel() * (2 if self.dtype.is_complex else 1)


def kinds(tensors: Sequence[Tensor]) -> tuple[Kind, ...]:
    """The kind of each tensor."""
    return tuple(Kind(x.shape, x.dtype) for x in tensors)


def flat(tensors: Sequence[Tensor], dtype: torch.dtype) -> Float[Tensor, " entries"]:
    """The tensors one after another in this dtype, complex numbers as pairs."""
    return torch.cat([_as_real(x).reshape(-1).to(dtype) for x in tensors])


def _as_real(x: Tensor) -> Tensor:
    return torch.view_as_real(x.resolve_conj()) if x.is_complex() else x


def split(vector: Float[Tensor, " entries"], kinds: Sequence[Kind]) -> list[Tensor]:
    """The tensors of these kinds that the flat vector holds."""
    parts = vector.split([kind.entries for kind in kinds])
    return [_shaped(part, kind) for part, kind in zip(parts, kinds, strict=True)]


def _shaped(part: Float[Tensor, " entries"], kind: Kind) -> Tensor:
    if not kind.dtype.is_complex:
        return part.view(kind.shape).to(kind.dtype)
    # Its place in the vector may be odd, which a view as pairs does not allow.
    return torch.view_as_complex(part.reshape(*kind.shape, 2).clone()).to(kind.dtype)


class FirstOutputs:
    """Finds a field that fills one tensor anew at each call and returns it, by its first outputs.

    Two tensors that take turns are found too.
    """

    LOOKS = 3

    def __init__(self) -> None:
        self.missing = self.LOOKS
        self._kept: list[tuple[torch.UntypedStorage, int, int]] = []

    def check(self, f: Float[Tensor, "*state"]) -> None:
        """Raise ValueError where an earlier output was overwritten although autograd needs it."""
        plain, now = unwrap(f), version(f)
        storage, place = plain.untyped_storage(), int(plain.storage_offset())
        address = storage.data_ptr()
        before = [(p, v) for s, p, v in self._kept if address and s.data_ptr() == address]
        # While they are kept, nothing else can be put where they lie.
        self._kept.append((storage, place, now))
        self.missing -= 1
        if not self.missing:
            self._kept.clear()
        if f.requires_grad and any(p == place and v != now for p, v in before):
            raise refilled()


class OutsideGraph:
    """Whether a field uses tensors that were computed, with a graph, before the solve.

    Such a graph is differentiated at every evaluation, so none of them may free it. To keep the
    graph of every evaluation to its end takes a convolutional field 1.1 to 1.4 times as long, so it
    is done only where the first two evaluations have a part of their graphs in common.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        # What marks the nodes of a graph. It is not this object: a graph that led to the field, and
        # the field to the graph, would keep each other alive, and no collection sees it.
        self._mark_of_this_pass, self._leaves = object(), []
        self._looks, self._shared = 0, False
        self._first, self._looks_at_argument = FirstOutputs(), Looks()

    def looks_at(self, z: Float[Tensor, "*state"]) -> bool:
        """Whether to look at this call whether the field changes its argument."""
        if torch.compiler.is_compiling() or z.device.type != "cpu":
            return False
        return self._looks_at_argument.is_due()

    def check(self, f: Tensor) -> None:
        """Raise ValueError for a field that overwrites what it has returned before."""
        if self._first.missing and not torch.compiler.is_compiling():
            self._first.check(f)

    def is_needed(self, outputs: Sequence[Tensor], inputs: Sequence[Tensor]) -> bool:
        """Whether the graph of these results of an evaluation must be kept for the next one.

        ``inputs`` is what the results are differentiated by.
        """
        if torch.compiler.is_compiling():
            return False
        if self._looks == 2:
            return self._shared
        self._looks += 1
        self._shared, leaves = self._mark(outputs, inputs)
        if self._looks == 2 and not self._wanted.named:
            # One that is there once was made by the field.
            before = set(map(id, self._leaves))
            self._warn_of_others([leaf for leaf in leaves if id(leaf) in before], inputs)
        self._leaves = leaves if self._looks == 1 else []
        return self._shared or self._looks == 1

    def _warn_of_others(self, leaves: Sequence[Tensor], inputs: Sequence[Tensor]) -> None:
        """Warn of a tensor that requires a gradient, but gets none."""
        module = self._wanted.module
        own = parameters_of(module) if module is not None else ()
        known = set(map(id, [*inputs, *own, *self._wanted.tensors]))
        for leaf in leaves:
            if id(leaf) not in known:
                warnings.warn(
                    f"the field depends on a tensor of shape {tuple(leaf.shape)} that requires a"
                    f" gradient and is not one of its parameters, so {self._wanted.way} gives it"
                    " none: name all tensors that the field uses in params=..., or use Backprop()",
                    stacklevel=2,
                )

    def _mark(
        self, outputs: Sequence[Tensor], inputs: Sequence[Tensor]
    ) -> tuple[bool, list[Tensor]]:
        """Mark every node of the graph; whether one was marked before, and the leaves met."""
        ahead = [x.grad_fn for x in outputs if x.grad_fn is not None]
        # A derivative by such a tensor does not go on to what it was computed from.
        ends = {x.grad_fn for x in inputs if x.grad_fn is not None}
        seen, shared, leaves = {*ends, *ahead}, False, []
        while ahead:
            node = ahead.pop()
            # A leaf has nothing that could be freed.
            if not node.next_functions:
                leaf = getattr(node, "variable", None)
                leaves += [] if leaf is None else [leaf]
                continue
            marks = cast(dict, node.metadata)
            shared = shared or self._mark_of_this_pass in marks
            marks[self._mark_of_this_pass] = True
            further = {n for n, _ in node.next_functions if n is not None} - seen
            seen |= further
            ahead += further
        return shared, leaves


def vjp(
    field: Field,
    t: Float[Tensor, ""],
    z: Float[Tensor, "*state"],
    a: Float[Tensor, "*state"],
    params: Sequence[Tensor],
    outside: OutsideGraph | None = None,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """``f(t, z)`` and the products of ``a`` with its derivatives by z and by each parameter.

    ``outside`` is shared by the evaluations of one backward pass.
    """
    with torch.enable_grad():
        z = z.detach().requires_grad_(True)
        before = z.detach().clone() if outside is not None and outside.looks_at(z) else None
        f = field(t, z)
        if before is not None and not same_values(before, z):
            raise changed()
        if outside is not None:
            outside.check(f)
        inputs = (z, *params)
        if f.requires_grad:
            keep = outside is not None and outside.is_needed([f], inputs)
            products = torch.autograd.grad(f, inputs, a, allow_unused=True, retain_graph=keep)
        else:
            products = [None] * len(inputs)
    by_z, *by_params = (
        torch.zeros_like(x) if v is None else v for x, v in zip(inputs, products, strict=True)
    )
    return f.detach(), by_z, by_params
