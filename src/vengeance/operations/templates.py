"""Jinja templates, filled in the same way for Windows, for WSL and for the distro."""

from __future__ import annotations

import os
from collections.abc import Mapping

from jinja2 import TemplateError
from pyinfra.api.exceptions import OperationValueError
from pyinfra.api.util import get_template
from pyinfra.context import state


def rendered(src: str, data: Mapping[str, object]) -> str:
    """Return a template, filled in.

    + src: template, relative to the folder that pyinfra runs in
    + data: what it gets

    Raises OperationValueError for a template that is not there, is faulty, or asks for a name without a value.
    """
    path = os.path.join(state.cwd or "", src)
    try:
        # pyinfra has names without a value be errors.
        return get_template(path, {"trim_blocks": True, "lstrip_blocks": True}).render(data)
    except FileNotFoundError:
        raise OperationValueError(f"The template {src} is not there: {path} does not exist.") from None
    except TemplateError as error:
        raise OperationValueError(f"The template {src} cannot be filled in: {error}.") from None
