"""How figures and animations become files."""

from matplotlib.animation import FuncAnimation
from PIL import Image

from odeclaims.report.style import panels, save_animation, style


def moving() -> FuncAnimation:
    fig, axes = panels(1, 1, width=1, height=1)

    def draw(k: int) -> None:
        axes[0, 0].clear()
        axes[0, 0].plot([0, 1], [0, k])

    return FuncAnimation(fig, draw, 3)


def test_an_animation_is_put_in_place_whole_and_is_the_same_again(tmp_path):
    with style():
        path = save_animation(moving(), tmp_path)
        first = path.read_bytes()
        save_animation(moving(), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["animation.gif"]
    assert path.read_bytes() == first
    with Image.open(path) as image:
        assert image.format == "GIF"
        assert getattr(image, "n_frames", 1) == 3
