"""Pictures of a running page in all its states, to be looked at.

    python app.py --port 7860 &
    python tests/page/take_screenshots.py http://127.0.0.1:7860 --output /tmp/pictures

`--readme` writes only the two of the README, to `examples/`.
"""

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from page_driver import BROWSER, PageDriver
from playwright.sync_api import Browser, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
PROMPT = "a red house with a blue roof on a green meadow, the camera orbits to the left"
DESKTOP = {"viewport": {"width": 1280, "height": 800}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def opened(visitor: PageDriver) -> None:
    visitor.wait_for_message("loaded")
    visitor.wait_for_rest()
    # The poster and the buttons fade.
    visitor.page.wait_for_timeout(1500)


def dragged(visitor: PageDriver) -> None:
    opened(visitor)
    box = visitor.page.locator("iframe.splat-frame").first.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    visitor.page.mouse.move(x, y)
    visitor.page.mouse.down()
    visitor.page.mouse.move(x + 150, y, steps=10)
    visitor.page.mouse.up()
    visitor.wait_for_rest()


def given(visitor: PageDriver) -> None:
    visitor.page.get_by_label("Camera path", exact=True).click()
    visitor.page.get_by_role("option", name="Spiral").click()
    visitor.open_advanced()
    expect(visitor.page.locator("#given canvas")).to_be_visible()
    visitor.page.locator("#given canvas").scroll_into_view_if_needed()


def refused(visitor: PageDriver) -> None:
    visitor.write("a red dragon in the kitchen")
    expect(visitor.page.locator("#words")).to_contain_text("nearest:")
    visitor.page.get_by_label("Camera path", exact=True).click()
    visitor.page.get_by_role("option", name="My file or recorded path").click()
    visitor.open_advanced()
    broken = {"name": "cameras.json", "mimeType": "application/json", "buffer": b"{no"}
    visitor.page.locator("#settings input[type=file]").set_input_files([broken])  # pyright: ignore
    expect(visitor.page.get_by_text("cannot be read").first).to_be_visible()


def sampling(visitor: PageDriver) -> None:
    visitor.begin(PROMPT, steps=24)
    expect(visitor.status).to_contain_text(re.compile(r"Step ([6-9]|1\d) of 24"))


def made(visitor: PageDriver) -> None:
    visitor.write(PROMPT)
    visitor.forget()
    visitor.sentence.press("Enter")
    expect(visitor.status).to_contain_text("4 scenes made in")
    visitor.wait_for_message("loaded")


def compared(visitor: PageDriver) -> None:
    made(visitor)
    visitor.page.get_by_role("tab", name="Compare").click()
    visitor.button("Show both").click()
    for viewer in ("left", "right"):
        visitor.wait_for_message("loaded", viewer)


STATES: dict[str, Callable[[PageDriver], None]] = {
    state.__name__: state for state in (opened, dragged, given, refused, sampling, made, compared)
}


def take(browser: Browser, address: str, state: str, path: Path, **options: Any) -> None:
    """One picture of the whole page, or of what a window of the README's size shows."""
    theme = options.pop("theme")
    whole = options.pop("whole", True)
    visitor = PageDriver(browser, address, f"?__theme={theme}", color_scheme=theme, **options)
    STATES[state](visitor)
    if not whole:
        visitor.page.evaluate("() => scrollTo(0, 0)")
    quality = {"type": "jpeg", "quality": 82} if path.suffix == ".jpg" else {}
    visitor.page.screenshot(path=path, full_page=whole, **quality)
    visitor.context.close()
    print(path)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("page", help="its address")
    parser.add_argument("--output", type=Path, default=Path("pictures"))
    parser.add_argument("--states", nargs="+", choices=STATES, default=list(STATES))
    parser.add_argument("--sizes", nargs="+", choices=["desktop", "phone"])
    parser.add_argument("--themes", nargs="+", choices=["light", "dark"])
    parser.add_argument("--readme", action="store_true")
    args = parser.parse_args()

    sizes = {"desktop": DESKTOP, "phone": PHONE}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**BROWSER)
        if args.readme:
            for size, options in sizes.items():
                path = ROOT / "examples" / f"page-{size}.jpg"
                take(browser, args.page, "opened", path, theme="light", whole=False, **options)
            return
        args.output.mkdir(parents=True, exist_ok=True)
        for state in args.states:
            for size in args.sizes or sizes:
                for theme in args.themes or ("light", "dark"):
                    path = args.output / f"{state}-{size}-{theme}.png"
                    take(browser, args.page, state, path, theme=theme, **sizes[size])


if __name__ == "__main__":
    main()
