"""A bias that is added apart from the product gives the same, and other sums are left alone."""

import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx

from neural_ode.networks.mlp import initialise
from neural_ode.unfused import UnfusedBias


def rewritten(function, *arguments):
    """The function as a graph after the rewrite, and what that graph calls."""
    module = make_fx(function)(*arguments)
    UnfusedBias()(module.graph)
    module.graph.lint()
    module.recompile()
    return module, [node.target for node in module.graph.nodes if node.op == "call_function"]


def test_the_bias_of_a_linear_layer_is_added_apart():
    generator = torch.Generator().manual_seed(0)
    layer = nn.Linear(3, 5)
    initialise(layer, generator)
    x = torch.randn(7, 3, generator=generator)
    graph, called = rewritten(layer, x)
    assert torch.ops.aten.addmm.default not in called
    assert {torch.ops.aten.mm.default, torch.ops.aten.add.Tensor} <= set(called)
    torch.testing.assert_close(graph(x), layer(x))


def test_a_sum_with_factors_is_left_as_it_is():
    generator = torch.Generator().manual_seed(0)
    a, x, y = (torch.randn(4, 4, generator=generator) for _ in range(3))
    graph, called = rewritten(lambda a, x, y: torch.addmm(a, x, y, beta=2, alpha=3), a, x, y)
    assert called == [torch.ops.aten.addmm.default]
    torch.testing.assert_close(graph(a, x, y), 2 * a + 3 * x @ y)
