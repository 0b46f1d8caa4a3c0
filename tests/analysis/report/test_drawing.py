import os
from functools import partial

import pytest

from analysis.report.drawing import Drawing
from analysis.report.printing import new_axes

NAMES = [f"figure {number}" for number in range(3)]


def drawn(slope):
    figure, axes = new_axes(3.4, 2.0)
    axes.plot([0, 1], [0, slope])
    axes.set_xlabel("$x^2$")
    return figure


DRAWERS = {name: partial(drawn, slope) for slope, name in enumerate(NAMES)} | {"nothing": lambda: None}


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_two_processes_draw_the_same_bytes_as_one(tmp_path):
    alone = Drawing.start(DRAWERS, tmp_path / "one", copy=False).finish()
    together = Drawing.start(DRAWERS, tmp_path / "two", copy=True).finish()
    assert list(alone) == list(together) == NAMES
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert len(contents(tmp_path / "one")) == 9


def test_both_processes_draw(tmp_path):
    process = tmp_path / "processes"

    def say(slope):
        with process.open("a") as file:
            file.write(f"{os.getpid()}\n")
        return drawn(slope)

    drawing = Drawing.start({name: partial(say, 1) for name in NAMES}, tmp_path, copy=True)
    while not process.exists():
        pass
    drawing.finish()
    said = process.read_text().split()
    assert len(said) == len(NAMES)
    assert set(said) - {str(os.getpid())}


@pytest.mark.parametrize("copy", [False, True])
def test_what_a_drawer_raises_comes_back(tmp_path, copy):
    def fail():
        raise ZeroDivisionError("no such figure")

    with pytest.raises(ZeroDivisionError, match="no such figure"):
        Drawing.start({"first": fail, **DRAWERS}, tmp_path, copy=copy).finish()


def test_figures_of_a_copy_that_dies_are_drawn_here(tmp_path):
    here = os.getpid()

    def die():
        if os.getpid() != here:
            os._exit(1)
        return drawn(1)

    files = Drawing.start({"first": die, **DRAWERS}, tmp_path, copy=True).finish()
    assert list(files) == ["first", *NAMES]
