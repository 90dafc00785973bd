"""Every operator: importing this package tells where each is; its module is loaded when needed."""

from sardonyx.graph.op import announce
from sardonyx.ops.index import MODULES

announce(MODULES)
