"""Kernels in instructions: importing this package registers every module's spelling."""

import importlib
import pkgutil

from sardonyx.kernels.micro.protocol import EMITTERS as EMITTERS

for _module in pkgutil.iter_modules(__path__, f"{__name__}."):
    importlib.import_module(_module.name)
