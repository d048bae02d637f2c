"""The look of the page: system fonts and quiet neutrals; the views bring the colour."""

import html
import os
from typing import Any

import gradio as gr

from videorfsplat.geometry.view_colors import VIEW_COLORS
from videorfsplat.ui.page_files import read_asset

LINKS: dict[str, str] = {
    "Paper": "https://arxiv.org/abs/2503.15855",
    "API": "?view=api",
}
"""What the head of the page leads to, wherever it is served."""

SPACE_LINKS: dict[str, str] = {
    "Code": "https://huggingface.co/spaces/{space}/tree/main",
    "Model card": "https://huggingface.co/spaces/{space}/blob/main/"
    "videorfsplat/checkpoints/mini/README.md",
}
"""Further ones of a Space, which holds the code and the model."""

FONT = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif")
FONT_MONO = ("ui-monospace", "SF Mono", "Menlo", "Consolas", "monospace")

COLORS: dict[str, Any] = {
    "body_background_fill": "var(--page-background)",
    "body_text_color": "var(--page-text)",
    "body_text_color_subdued": "var(--page-muted)",
    "background_fill_primary": "var(--page-surface)",
    "background_fill_secondary": "var(--page-background)",
    "border_color_primary": "var(--page-border)",
    "block_background_fill": "transparent",
    "block_label_background_fill": "transparent",
    "block_label_text_color": "var(--page-text)",
    "block_title_text_color": "var(--page-text)",
    "block_info_text_color": "var(--page-muted)",
    "input_background_fill": "var(--page-surface)",
    "input_border_color": "var(--page-border)",
    "input_placeholder_color": "var(--page-muted)",
    "button_primary_background_fill": "var(--page-strong)",
    "button_primary_background_fill_hover": "var(--page-strong-hover)",
    "button_primary_border_color": "var(--page-strong)",
    "button_primary_border_color_hover": "var(--page-strong-hover)",
    "button_primary_text_color": "var(--page-on-strong)",
    "button_secondary_background_fill": "var(--page-surface)",
    "button_secondary_background_fill_hover": "var(--page-hover)",
    "button_secondary_border_color": "var(--page-border)",
    "button_secondary_text_color": "var(--page-text)",
    "slider_color": "var(--page-accent)",
    "checkbox_background_color": "var(--page-surface)",
    "checkbox_background_color_selected": "var(--page-accent)",
    "link_text_color": "var(--page-accent)",
}
"""Gradio's colours, by its names for them; the style sheet decides what ours are in the dark."""


def page_theme() -> gr.themes.Base:
    """Gradio's plainest theme with our neutrals; no font is fetched."""
    theme = gr.themes.Base(
        primary_hue="indigo",
        neutral_hue="zinc",
        font=list(FONT),
        font_mono=list(FONT_MONO),
        radius_size="md",
        text_size="md",
    )
    in_dark = {f"{name}_dark": color for name, color in COLORS.items()}
    return theme.set(
        **COLORS,
        **in_dark,
        block_border_width="0px",
        block_border_width_dark="0px",
        block_shadow="none",
        block_title_text_weight="560",
        block_padding="0px",
        layout_gap="16px",
        input_border_width="1px",
    )


def page_css() -> str:
    """The style sheet of the page."""
    colors = "".join(f"--view-{i}: {color};" for i, color in enumerate(VIEW_COLORS, 1))
    return f":root {{ {colors} }}\n{read_asset('page.css')}"


def page_head() -> str:
    """What goes into the head of the page: words for those who pass its address on."""
    title = "VideoRFSplat: text to 3D scenes"
    words = "Write a sentence, get a 3D scene to walk through, its views and their cameras."
    return (
        f'<meta property="og:title" content="{title}"/>'
        f'<meta property="og:description" content="{words}"/>'
        f'<meta name="description" content="{words}"/>'
    )


def _links() -> dict[str, str]:
    space = os.environ.get("SPACE_ID", "")
    of_space = {name: address.format(space=space) for name, address in SPACE_LINKS.items()}
    return LINKS | (of_space if space else {})


def page_header() -> str:
    """The head of the page: eight views in a ring around what they see, and what this is."""
    links = "".join(
        f'<a href="{html.escape(address)}" target="_blank" rel="noopener">{name}</a>'
        for name, address in _links().items()
    )
    ring = "".join(
        f'<circle cx="16" cy="5" r="3.4" fill="{color}" transform="rotate({45 * i} 16 16)"/>'
        for i, color in enumerate(VIEW_COLORS)
    )
    return (
        '<header class="page-header"><div class="brand">'
        f'<svg class="mark" viewBox="0 0 32 32" aria-hidden="true">{ring}</svg>'
        "<div><h1>VideoRFSplat</h1>"
        "<p>Text to 3D scene: an open implementation of the ICCV 2025 paper.</p></div></div>"
        f'<nav aria-label="About">{links}</nav>'
        '<button type="button" id="theme-switch" aria-label="Switch between light and dark">'
        '<svg class="moon" viewBox="0 0 24 24" aria-hidden="true"><path fill="currentColor" '
        'd="M12 3a9 9 0 1 0 9 9 7 7 0 0 1-9-9z"/></svg>'
        '<svg class="sun" viewBox="0 0 24 24" aria-hidden="true"><circle cx="12" cy="12" r="5" '
        'fill="currentColor"/><path stroke="currentColor" stroke-width="2" stroke-linecap="round" '
        'd="M12 2v2M12 20v2M2 12h2M20 12h2M5 5l1 1M18 18l1 1M5 19l1-1M18 6l1-1"/>'
        "</svg></button></header>"
    )
