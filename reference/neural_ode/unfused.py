"""A rewrite of what is compiled: biases are added where the result is used, not by the product.

On a CPU a product that adds a bias first copies the bias into every row, in an operation of its
own. Apart from the product it is added by the loop that comes next, an activation or a combination
of stages, for nothing. Importing this module imports torch's compiler, which takes a while.
"""

from collections.abc import Hashable

import torch
from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files
from torch.fx import Graph

aten = torch.ops.aten


class UnfusedBias(CustomGraphPass):
    """``addmm(bias, x, w)`` as ``mm(x, w) + bias``, throughout a graph."""

    def __call__(self, graph: Graph) -> None:
        """Rewrite the graph in place."""
        for node in graph.find_nodes(op="call_function", target=aten.addmm.default):
            # With a factor of its own for either term it is not a linear layer's.
            if node.kwargs:
                continue
            bias, x, w = node.args
            with graph.inserting_before(node):
                product = graph.call_function(aten.mm.default, (x, w))
                total = graph.call_function(aten.add.Tensor, (product, bias))
            # Of the same shape and dtype both.
            product.meta.update(node.meta)
            total.meta.update(node.meta)
            node.replace_all_uses_with(total)
            graph.erase_node(node)

    def uuid(self) -> Hashable:
        """By what the compiler's cache knows this rewrite."""
        return get_hash_for_files((__file__,))
