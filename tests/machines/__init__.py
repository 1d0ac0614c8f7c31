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
"""State machines: calls at random, beside a model that fits on a page.

``HYPOTHESIS_PROFILE=long`` tries many more than the check ``unit`` does.
"""

import os

import hypothesis

_LONG = os.environ.get('HYPOTHESIS_PROFILE') == 'long'

#: The short form tries the same calls each time. A busy machine takes longer
#: than Hypothesis expects of a step.
SETTINGS = hypothesis.settings(
    deadline=None, derandomize=not _LONG, database=None,
    max_examples=2000 if _LONG else 100,
    stateful_step_count=60 if _LONG else 40,
    suppress_health_check=list(hypothesis.HealthCheck))
