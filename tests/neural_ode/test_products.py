"""Linear layers that are written otherwise give the same, and other sums are left alone."""

import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx

from neural_ode.networks.mlp import initialise
from neural_ode.products import LinearLayers

aten = torch.ops.aten


def rewritten(function, *arguments):
    """The function as a graph after the rewrite, and what that graph calls."""
    module = make_fx(function, tracing_mode="fake")(*arguments)
    LinearLayers()(module.graph)
    module.graph.lint()
    module.recompile()
    return module, {node.target for node in module.graph.nodes if node.op == "call_function"}


@pytest.mark.parametrize(("columns", "product"), [(5, "mm"), (2, "sum"), (4, "sum"), (1, "mm")])
def test_a_linear_layer_adds_its_bias_apart_and_sums_few_columns(columns, product):
    generator = torch.Generator().manual_seed(0)
    layer = nn.Linear(3, columns).double()
    initialise(layer, generator)
    x = torch.randn(7, 3, generator=generator, dtype=torch.float64)
    parameters = dict(layer.named_parameters())

    def call(parameters, x):
        return torch.func.functional_call(layer, parameters, (x,))

    graph, called = rewritten(call, parameters, x)
    names = {str(target).split(".")[1] for target in called}
    assert "addmm" not in names
    assert "add" in names
    assert names & {"mm", "sum"} == {product}
    torch.testing.assert_close(graph(parameters, x), layer(x))


def test_a_sum_with_factors_is_left_as_it_is():
    generator = torch.Generator().manual_seed(0)
    a, x, y = (torch.randn(4, 4, generator=generator) for _ in range(3))
    graph, called = rewritten(lambda a, x, y: torch.addmm(a, x, y, beta=2, alpha=3), a, x, y)
    assert called == {aten.addmm.default}
    torch.testing.assert_close(graph(a, x, y), 2 * a + 3 * x @ y)
