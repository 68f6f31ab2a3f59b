"""JSON inside a page."""

import json
from typing import Any

from markupsafe import Markup

__all__ = ["inline_json"]


def inline_json(data: Any) -> Markup:  # noqa: ANN401 (whatever JSON can hold)
    r"""JSON for a script element: nothing in it can end the element.

    >>> inline_json(["</script>"])
    Markup('["\\u003c/script\\u003e"]')
    """
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    safe = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Markup(safe)  # noqa: S704
