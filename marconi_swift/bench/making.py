# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.

"""Makes the driver that a specification names."""

from marconi_swift.bench import bare
from marconi_swift.bench import drivers

_CLASSES: dict[str, type[drivers.Driver]] = {
    drivers.OURS: drivers.Ours,
    drivers.SWIFT: drivers.ZaqarsSwift,
    drivers.REDIS: drivers.ZaqarDriver,
    drivers.MONGODB: drivers.ZaqarDriver,
    drivers.BARE: bare.Bare,
}


def make(spec: drivers.Spec) -> drivers.Driver:
    """Make a driver in this process."""
    return _CLASSES[spec.name](spec)
