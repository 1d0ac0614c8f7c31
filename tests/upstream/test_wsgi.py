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
"""Zaqar's tests of its API over HTTP."""

from zaqar.tests.unit.transport import wsgi

from tests.fixtures import upstream

_PATCHED = 'it patches the classes of the MongoDB driver'
_CAPABLE = 'it wants the capabilities that the MongoDB driver states'

CANNOT = {
    'test_health.TestHealthMongoDB.test_message_volume': _PATCHED,
    'test_health.TestHealthMongoDB.test_operation_status': _PATCHED,
    'test_flavors_new.TestFlavorsMongoDB.test_get_works': _CAPABLE,
    'test_flavors_new.TestFlavorsMongoDB.test_patch_works': _CAPABLE,
    'test_flavors_new.TestFlavorsMongoDB.'
    'test_patch_works_with_extra_fields': _CAPABLE,
    'test_flavors_new.TestFlavorsMongoDB.test_detailed_listing_works':
        _CAPABLE,
}

globals().update(upstream.cases(__name__, wsgi, CANNOT))
