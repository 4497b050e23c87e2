"""A way back that would not give the gradient of the solution says so, or gives it all the same.

Every method but backpropagation evaluates the field again, when much may be different.
"""

# A missing gradient fails a test all the same; settings are plain dicts.
# pyright: reportArgumentType=false, reportOptionalMemberAccess=false, reportOptionalOperand=false

import gc
import threading
import warnings
import weakref
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from neural_ode import solve
from tests.neural_ode.gradients.problems import Y0, B, Net, W, seasonal, times
from tests.neural_ode.ways import ONCE, method_for

EACH = pytest.mark.parametrize("name", ONCE)


def loss_of(field, name, y0=Y0, params=None):
    way = ONCE[name] if params is None else replace(ONCE[name], params=params)
    chosen = {"method": method_for(name, "bosh3"), "rtol": 1e-5, "atol": 1e-5}
    return solve(field, y0, times(0, 1), gradient=way, **chosen).ys[-1].square().sum()


def gradients(field, loss):
    return torch.autograd.grad(loss, list(field.parameters()), allow_unused=True)


@EACH
@pytest.mark.parametrize("leaves", [True, False])
def test_hooks_of_a_parameter_see_its_whole_gradient_once(name, leaves):
    plain, net, seen = Net(), Net(), {}
    expected = gradients(plain, loss_of(plain, name))
    tensors = {"w": net.w, "b": net.b}
    if not leaves:
        # As those of a hypernetwork, which are no parameters of the field's own.
        tensors = {key: 1 * p for key, p in tensors.items()}
        for key, computed in tensors.items():
            delattr(net, key)
            setattr(net, key, computed)
    for key, p in tensors.items():
        p.register_hook(lambda g, key=key: seen.setdefault(key, []).append(g.clone()) or 2 * g)
    loss = loss_of(net, name, params=None if leaves else tuple(tensors.values()))
    found = torch.autograd.grad(loss, list(tensors.values()))
    for key, g, whole in zip(tensors, found, expected, strict=True):
        (hooked,) = seen[key]
        torch.testing.assert_close(hooked, whole, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(g, 2 * whole, rtol=1e-12, atol=1e-12)


@EACH
def test_hooks_are_there_again_after_a_way_back_that_fails(name):
    net, y0 = Net(), Y0.clone().requires_grad_()
    net.w.register_hook(lambda g: 2 * g)
    loss = loss_of(net, name, y0)

    def fails(t, y):
        raise KeyError("later")

    net.forward = fails
    with pytest.raises(KeyError, match="later"):
        loss.backward()
    assert len(net.w._backward_hooks) == 1


@EACH
@pytest.mark.parametrize("named", [False, True])
def test_parameters_that_were_in_place_for_the_forward_pass_alone(name, named):
    """As with ``functional_call``: their gradients were silent zeros."""
    net = Net()
    others = {key: (2 * p).detach().requires_grad_() for key, p in net.named_parameters()}

    class Solved(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, derive):
            loss = loss_of(self.net, name, params=tuple(net.parameters()) if named else None)
            return torch.autograd.grad(loss, list(others.values())) if derive else loss

    inside = {f"net.{key}": p for key, p in others.items()}
    loss = torch.func.functional_call(Solved(), inside, (False,))
    with pytest.raises(RuntimeError, match="has other parameters than when the equation was"):
        loss.backward()
    within = torch.func.functional_call(Solved(), inside, (True,))
    twice = Net()
    twice.load_state_dict(others)
    expected = gradients(twice, loss_of(twice, name))
    assert all(map(torch.equal, within, expected))


@EACH
def test_a_parameter_that_was_frozen_since(name):
    net = Net()
    loss = loss_of(net, name, Y0.clone().requires_grad_())
    net.b.requires_grad_(False)
    with pytest.raises(RuntimeError, match="was frozen between the forward and the backward pass"):
        loss.backward()


class _Doubled(nn.Module):
    def forward(self, x):
        return 2 * x


@EACH
def test_a_parametrization(name):
    """Its gradient is right, but in a block that keeps the weight of a pass without a graph."""
    net = Net()
    net.w.data /= 2
    parametrize.register_parametrization(net, "w", _Doubled())
    plain = Net()
    expected = gradients(plain, loss_of(plain, name))
    by_b, by_half = gradients(net, loss_of(net, name))
    found = [by_half / 2, by_b]
    # An adjoint chooses its steps by what it differentiates by.
    torch.testing.assert_close(found, list(expected), rtol=1e-4, atol=1e-5)
    with parametrize.cached(), pytest.raises(ValueError, match=r"inside torch.*cached\(\)"):
        loss_of(net, name)


class _Noisy(Net):
    def forward(self, t, y):
        return super().forward(t, y) + 1e-3 * torch.randn(2, dtype=y.dtype)


@EACH
def test_a_field_that_draws_random_numbers(name):
    net = _Noisy()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        loss = solve(
            net,
            Y0,
            times(0, 1),
            method=method_for(name, "rk4"),
            step_size=0.25,
            gradient=ONCE[name],
        ).ys.sum()
        with pytest.warns(
            UserWarning, match="If the field draws random numbers, .* its gradient is not"
        ):
            loss.backward()


@EACH
@pytest.mark.parametrize("named", [False, True])
def test_a_tensor_beside_the_parameters_that_gets_no_gradient(name, named):
    scale = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)

    class Scaled(Net):
        def forward(self, t, y):
            return scale * super().forward(t, y)

    net = Scaled()
    loss = loss_of(net, name, params=(*net.parameters(), scale) if named else None)
    if named:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            loss.backward()
        assert scale.grad.abs() > 0.1
        return
    with pytest.warns(UserWarning, match=r"a tensor of shape \(\) that requires a gradient"):
        loss.backward()
    assert scale.grad is None


@EACH
def test_no_warning_for_weights_that_the_parameters_make(name):
    """A graph in front of the field leads to a parameter in the end."""
    net, y0 = Net(), Y0.clone().requires_grad_()
    made = 2 * net.w

    class Made(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, t, y):
            return seasonal(made, self.net.b)(t, y)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss_of(Made(), name, y0).backward()
    w = W.clone().requires_grad_()
    expected = loss_of_plain(w, y0.detach())
    assert (net.w.grad - torch.autograd.grad(expected, w)[0]).abs().max() < 1e-3


def loss_of_plain(w, y0):
    field = seasonal(2 * w, B)
    return solve(field, y0, times(0, 1), rtol=1e-8, atol=1e-8).ys[-1].square().sum()


@EACH
def test_what_autograd_saves_may_be_moved(name):
    """Hooks on saved tensors give copies, by which the field is not computed."""
    plain, net = Net(), Net()
    expected = gradients(plain, loss_of(plain, name))
    with torch.autograd.graph.saved_tensors_hooks(lambda x: x.detach().clone(), lambda x: x):
        loss = loss_of(net, name)
    assert all(map(torch.equal, gradients(net, loss), expected))


@EACH
def test_a_lazy_parameter_has_to_have_its_shape(name):
    net = nn.LazyLinear(2).double()
    field = LazyField(net)
    with pytest.raises(ValueError, match="a lazy parameter of the field has no shape yet"):
        loss_of(field, name)
    field(None, Y0)
    loss_of(field, name).backward()
    assert net.weight.grad.abs().sum() > 0


class LazyField(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, t, y):
        return torch.tanh(self.net(y))


@EACH
def test_a_batch_of_gradients_is_one_sentence(name):
    y0 = Y0.clone().requires_grad_()
    end = solve(
        Net(), y0, times(0, 1), method=method_for(name, "rk4"), step_size=0.5, gradient=ONCE[name]
    ).ys[-1]
    each = torch.eye(2, dtype=torch.float64)
    with pytest.raises(RuntimeError, match="goes back with one gradient at a time"):
        torch.autograd.grad(end, y0, each, is_grads_batched=True)


@EACH
def test_a_field_that_holds_what_it_was_computed_from_is_freed(name):
    """A mark on the graph that led back to the field kept both for good."""
    encoder = nn.Linear(3, 4).double()

    class Made(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.w = encoder, encoder(torch.ones(3, dtype=torch.float64)).view(2, 2)

        def forward(self, t, y):
            return torch.tanh(y @ self.w)

    alive = []
    for _ in range(3):
        field = Made()
        alive += [weakref.ref(field), weakref.ref(field.w)]
        loss_of(field, name).backward()
        del field
        gc.collect()
    assert not any(each() is not None for each in alive)
    assert encoder.weight.grad is not None


@EACH
def test_no_warning_for_a_parameter_that_is_unfrozen_since_nor_for_leaves_of_the_field(name):
    net, y0 = Net(), Y0.clone().requires_grad_()
    net.b.requires_grad_(False)
    loss = loss_of(net, name, y0)
    net.b.requires_grad_(True)

    class Watching(Net):
        def forward(self, t, y):
            # As one does for a derivative by the time.
            return super().forward(t.detach().clone().requires_grad_(), y)

    other = loss_of(Watching(), name, y0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss.backward()
        other.backward()


@EACH
def test_a_computed_tensor_that_keeps_its_gradient(name):
    net = Net()
    computed = {key: 1 * p for key, p in net.named_parameters()}
    for key, p in computed.items():
        delattr(net, key)
        setattr(net, key, p)
    computed["w"].retain_grad()
    loss_of(net, name, params=tuple(computed.values())).backward()
    plain = Net()
    expected, _ = gradients(plain, loss_of(plain, name))
    torch.testing.assert_close(computed["w"].grad, expected, rtol=1e-12, atol=1e-12)


def test_a_hook_runs_in_another_thread_meanwhile():
    """Threads may share parameters, and each goes back by itself."""
    net, calls = Net(), []
    net.w.register_hook(lambda g: calls.append(threading.get_ident()))
    loss = loss_of(net, "adjoint")

    def elsewhere():
        torch.autograd.grad((2 * net.w).sum(), net.w)

    others: list[threading.Thread] = []
    field = net.forward

    def pausing(t, y):
        if not others:
            others.append(threading.Thread(target=elsewhere))
            others[0].start()
            others[0].join()
        return field(t, y)

    net.forward = pausing
    torch.autograd.grad(loss, [net.w, net.b])
    assert len(others) == 1
    assert sorted(calls) == sorted([others[0].ident, threading.get_ident()])


def test_a_hook_that_is_removed_on_the_way_back_stays_removed():
    net = Net()
    handle = net.w.register_hook(lambda g: 100 * g)
    loss, plain = loss_of(net, "adjoint"), Net()
    field = net.forward

    def removing(t, y):
        handle.remove()
        return field(t, y)

    net.forward = removing
    found = gradients(net, loss)
    assert all(map(torch.equal, found, gradients(plain, loss_of(plain, "adjoint"))))
    assert not net.w._backward_hooks
