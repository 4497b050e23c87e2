"""A rewrite of the linear layers in what is compiled for a CPU.

A product that adds a bias first copies the bias into every row, in an operation of its own. Apart
from the product it is added by the loop that comes next, an activation or a combination of stages,
for nothing. And a product with a few columns, as the last layer of a field in the plane is, takes
longer to hand to a library than to sum. Importing this module imports torch's compiler, which takes
a while.
"""

from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files
from torch.fx import Graph, Node

aten = torch.ops.aten
# Columns of a product that is summed instead. With 2 that takes 6 to 23% less time, for 16 to 512
# rows and 16 to 256 terms; with 4 as much or up to 13% less; with 1 and with 8 mostly more.
FEWEST, MOST = 2, 4


class LinearLayers(CustomGraphPass):
    """``addmm(bias, x, w)`` as ``mm(x, w) + bias``, or as a sum plus bias, throughout a graph."""

    def __call__(self, graph: Graph) -> None:
        """Rewrite the graph in place."""
        for node in graph.find_nodes(op="call_function", target=aten.addmm.default):
            # With a factor of its own for either term it is not a linear layer's.
            if node.kwargs:
                continue
            bias, x, w = node.args
            with graph.inserting_before(node):
                few = FEWEST <= node.meta["val"].shape[1] <= MOST
                product = _sum(graph, x, w) if few else _call(graph, aten.mm.default, x, w)
                total = _call(graph, aten.add.Tensor, product, bias)
            node.replace_all_uses_with(total)
            graph.erase_node(node)

    def uuid(self) -> Hashable:
        """By what the compiler's cache knows this rewrite."""
        return get_hash_for_files((__file__,))


def _sum(graph: Graph, x: Any, w: Any) -> Node:
    """The product of two matrices, written out."""
    rows = _call(graph, aten.unsqueeze.default, x, 1)
    columns = _call(graph, aten.permute.default, w, [1, 0])
    return _call(graph, aten.sum.dim_IntList, _call(graph, aten.mul.Tensor, rows, columns), [2])


def _call(graph: Graph, function: Callable, *arguments: Any) -> Node:
    """A call with what the compiler wants to know of its value: shape, strides and dtype."""
    node = graph.call_function(function, arguments)
    node.meta["val"] = function(*(a.meta["val"] if isinstance(a, Node) else a for a in arguments))
    return node
