"""What is drawn stands beside what else is drawn, not on it."""

from __future__ import annotations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Patch

from rmqkit.report.canvas import NARROW, WIDE, Size, fixed_settings, legend, panel


@pytest.mark.parametrize("size", [WIDE, NARROW])
@pytest.mark.parametrize("count", [2, 6])
def test_a_legend_is_beside_the_title_and_within_the_figure(size: Size, count: int) -> None:
    """Six is the most that the figure of errors names; its title is the longest of those with a legend."""
    with fixed_settings("test"):
        figure, _ = panel(size, title="Sends not acknowledged, a second", named=True, numbered=True)
        legend(figure, size, [(f"{letter} unknown", Patch()) for letter in "abcdef"[:count]])
        drawn = FigureCanvasAgg(figure).get_renderer()
        title = figure.texts[0].get_window_extent(drawn)
        names = figure.legends[0].get_window_extent(drawn)
    assert not title.overlaps(names)
    assert names.x0 >= 0
    assert names.x1 <= figure.bbox.x1
