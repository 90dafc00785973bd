"""Model packages by ONNX Runtime's names: folders that hold a model for each kind of device.

A session takes a model, not a package, so whatever opens or writes one is refused (E0256).
"""

from __future__ import annotations

import enum
from typing import Any, NoReturn

from sardonyx.session.options import impossible


class ModelPackageWriteMode(enum.IntEnum):
    """Kept for scripts that name it."""

    PRESERVE = 0
    DENSE = 1


class _Package:
    def __init__(self, *_args: Any, **_named: Any) -> None:
        _refuse()


class ModelPackageContext(_Package):
    """NotImplemented: packages are not opened; pass a variant's model to InferenceSession."""


class ModelPackageComponentContext(_Package):
    """NotImplemented, as ModelPackageContext."""


class ModelPackageOptions(_Package):
    """NotImplemented, as ModelPackageContext."""


class ModelPackage(_Package):
    """NotImplemented: packages are not written."""

    @staticmethod
    def open(*_args: Any, **_named: Any) -> NoReturn:
        """NotImplemented, as the class."""
        _refuse()

    @staticmethod
    def compute_directory_hash(*_args: Any, **_named: Any) -> NoReturn:
        """NotImplemented, as the class."""
        _refuse()


def _refuse() -> NoReturn:
    raise impossible(
        "model packages are neither opened nor written",
        "pass the model file of a variant to InferenceSession",
    )
