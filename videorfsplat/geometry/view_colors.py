"""One colour per view, the same in borders, plots, frustums and sheets."""

VIEW_COLORS: tuple[str, ...] = (
    "#e6194b",
    "#f58231",
    "#ffd500",
    "#3cb44b",
    "#17c3c9",
    "#4363d8",
    "#911eb4",
    "#f032c8",
)
"""sRGB hex colours of views 1 to 8, in the order of the colour circle so that neighbouring
views look alike.
"""
