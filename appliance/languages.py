"""Names of languages, as BCP 47 has them."""

from __future__ import annotations


def primary(language: str) -> str:
    """The primary subtag of a BCP 47 tag: ``en`` of ``en-IN``."""
    return language.replace("_", "-").partition("-")[0].lower()
