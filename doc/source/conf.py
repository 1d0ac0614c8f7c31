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
    'openstackdocstheme',
    'oslo_config.sphinxext',
    'reno.sphinxext',
    'sphinx.ext.apidoc',
    'sphinx.ext.autodoc',
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
