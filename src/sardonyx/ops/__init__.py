"""Every operator: importing this package imports all its modules, which registers their classes.

One module is one family; a module added to the folder needs no entry anywhere.
"""

import importlib
import pkgutil

for _module in pkgutil.walk_packages(__path__, f"{__name__}."):
    importlib.import_module(_module.name)
