"""Pages as people see them: wide and narrow, light and dark, in English and Chinese.

ROPE_SCREENSHOTS=FOLDER keeps a picture of each, to be looked at; Chinese needs a font, such as Debian's
fonts-wqy-microhei.
"""

import os
from pathlib import Path

import pytest

LOOKS = pytest.mark.parametrize(
    "look",
    [(390, "light", "zh-CN"), (390, "dark", "en-US"), (1440, "light", "en-US"), (1440, "dark", "zh-CN")],
    ids=lambda look: "-".join(map(str, look)),
)
"""Width, theme and language."""


def look_at(chromium, file: Path, name: str, look: tuple[int, str, str], *, wait_for: str = "body") -> None:
    """Open a page without a network; it breaks no rule of access, fits the screen, and asks for nothing else.

    Args:
        chromium: the browser.
        file: the page.
        name: of the picture.
        look: width, theme and language.
        wait_for: what has to be there first.
    """
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed").Axe()
    width, theme, locale = look
    size = {"width": width, "height": 900}
    context, asked = chromium.new_context(viewport=size, color_scheme=theme, locale=locale, offline=True), []
    page = context.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    page.locator(wait_for).first.wait_for()
    if folder := os.environ.get("ROPE_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}-{width}-{theme}-{locale}.png", full_page=True)
    found = axe.run(page, options={"preload": False})  # a page from a file cannot fetch its style sheet
    elsewhere = [one for one in asked if not one.startswith(("file:", "data:"))]
    wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert found.violations_count == 0, f"{name}: {found.generate_report()}"
    assert wider == 0, f"{name}: {wider} pixels wider than the screen"
    assert elsewhere == [], f"{name} asks for {elsewhere}"
    context.close()
