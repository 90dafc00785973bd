"""What the package says of the machine and of itself."""

from sardonyx.dropin.environment import check_distro_info as check_distro_info
from sardonyx.dropin.environment import check_training_module as check_training_module
from sardonyx.dropin.environment import (
    get_package_name_and_version_info as get_package_name_and_version_info,
)
