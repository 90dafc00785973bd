"""What the package says of itself."""

from sardonyx.dropin.environment import package_name as package_name
from sardonyx.dropin.face import FOLLOWS as __version__

__all__ = ["__version__", "package_name"]
