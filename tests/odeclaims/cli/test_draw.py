"""What is drawn side by side comes back in its order, each as soon as it can."""

from odeclaims.cli.draw import _sort


def test_what_is_drawn_in_another_order_comes_in_that_of_the_results():
    taken = []

    def drawn():
        for i in (2, 0, 3, 1):
            taken.append(i)
            yield "abcd"[i]

    seen = []
    for each in _sort(drawn(), [2, 0, 3, 1]):
        seen.append((each, len(taken)))
    assert seen == [("a", 2), ("b", 4), ("c", 4), ("d", 4)]
