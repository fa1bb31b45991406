"""Modules that the verifier uses where they are installed."""

from __future__ import annotations

import importlib
from typing import Any

from .report import CannotLook


def module(name: str) -> Any | None:
    """None where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def needed(name: str, package: str, why: str) -> Any:
    """Raises CannotLook where it is not installed."""
    found = module(name)
    if found is None:
        raise CannotLook(f'{why} needs the Python module "{package}"')
    return found
