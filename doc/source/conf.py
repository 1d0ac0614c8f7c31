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

"""Sphinx configuration of the documentation."""

import os

extensions = [
    'cliff.sphinxext',
    'openstackdocstheme',
    'oslo_config.sphinxext',
    'reno.sphinxext',
    'sphinx.ext.apidoc',
    'sphinx.ext.autodoc',
    # Shows what a command's --help says.
    'sphinxcontrib.programoutput',
]

project = 'marconi-swift'
html_theme = 'openstackdocs'
openstackdocs_auto_name = False
pygments_style = 'native'

_root = os.path.abspath('../..')
apidoc_modules = [{
    'path': os.path.join(_root, 'marconi_swift'),
    'destination': 'reference/api',
    'separate_modules': True,
    'module_first': True,
}]
autodoc_member_order = 'bysource'
autodoc_typehints = 'description'

man_pages = [
    (f'cli/{command}', command, summary, '', 1)
    for command, summary in {
        'marconi-swift-bench': 'measure the driver',
        'marconi-swift-manage': 'look after what is kept in Swift',
        'marconi-swift-standalone': 'run the messaging service',
        'marconi-swift-status': 'tell what stands against an upgrade',
    }.items()]
