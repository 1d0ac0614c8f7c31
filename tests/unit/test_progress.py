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
"""What shows how far a command is, and ends it."""

import os
import signal

import testtools

from marconi_swift.manage import progress


class TestSteps(testtools.TestCase):

    def run_with(self, *steps: int) -> None:
        """Do some steps, and have Ctrl-C pressed after them."""
        with progress.steps('things') as done:
            for step in steps:
                done(step)
            os.kill(os.getpid(), signal.SIGINT)

    def test_end_with_ctrl_c_though_no_step_follows(self) -> None:
        # Whoever runs the tests may have it ignored.
        before = signal.getsignal(signal.SIGINT)

        for steps in ((), (1, 2)):
            self.assertRaises(KeyboardInterrupt, self.run_with, *steps)

        self.assertIs(before, signal.getsignal(signal.SIGINT))
