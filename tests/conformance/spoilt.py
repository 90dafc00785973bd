"""Every way to spoil a model."""

import conformance.spoilt_models
import conformance.spoilt_nodes
import conformance.spoilt_scopes
import conformance.spoilt_tensors  # noqa: F401 - each registers its own
from conformance.spoiling import WAYS as WAYS
from conformance.spoiling import Way as Way
from conformance.spoiling import spoilt as spoilt
