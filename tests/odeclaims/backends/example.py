"""The backend that docs/speed.md shows, as a module."""

import re
from pathlib import Path
from types import ModuleType

PAGE = Path(__file__).parents[3] / "docs" / "speed.md"


def example_module() -> ModuleType:
    example = re.search(
        r"<!-- example backend -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL
    )
    assert example is not None
    module = ModuleType("third_party")
    exec(compile(example[1], PAGE.name, "exec"), vars(module))
    return module
