#!/bin/bash
#
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

# Has Zaqar keep everything in Swift. devstack sources this file in every
# phase, in the order of local.conf's enable_plugin lines, which may name Zaqar
# before this plugin or after it. README.rst explains the phases.

# Save trace setting
_XTRACE_MARCONI_SWIFT=$(set +o | grep xtrace)
set +o xtrace

# Functions
# ---------

# check_marconi_swift() - Stop unless everything is enabled that is needed
function check_marconi_swift {
    if ! is_service_enabled zaqar-wsgi zaqar-websocket; then
        die $LINENO "marconi-swift stores for Zaqar, which is not enabled:" \
            "add 'enable_plugin zaqar" \
            "https://opendev.org/openstack/zaqar' to local.conf"
    fi
    if ! is_service_enabled s-proxy; then
        die $LINENO "marconi-swift stores in Swift, which is not enabled:" \
            "add 'enable_service s-proxy s-object s-container s-account' to" \
            "local.conf"
    fi
    if ! is_service_enabled keystone; then
        die $LINENO "marconi-swift needs a user in Keystone, which is not" \
            "enabled: add 'enable_service key' to local.conf"
    fi
    local store
    for store in $MARCONI_SWIFT_STORES; do
        if [[ ! $store =~ ^(message|management)_store$ ]]; then
            die $LINENO "marconi-swift can not be the $store that" \
                "MARCONI_SWIFT_STORES in local.conf names: there are" \
                "message_store and management_store"
        fi
    done
}

# install_marconi_swift() - Install the driver where Zaqar is installed
function install_marconi_swift {
    setup_develop "$MARCONI_SWIFT_DIR"
}

# create_marconi_swift_account() - Make the user that stores everything
function create_marconi_swift_account {
    get_or_create_project "$MARCONI_SWIFT_PROJECT" "$MARCONI_SWIFT_DOMAIN"
    get_or_create_user "$MARCONI_SWIFT_USER" \
        "${MARCONI_SWIFT_PASSWORD:-$SERVICE_PASSWORD}" "$MARCONI_SWIFT_DOMAIN"
    get_or_add_user_project_role "$MARCONI_SWIFT_ROLE" \
        "$MARCONI_SWIFT_USER" "$MARCONI_SWIFT_PROJECT" \
        "$MARCONI_SWIFT_DOMAIN" "$MARCONI_SWIFT_DOMAIN"
}

# _marconi_swift_iniset() - Set an option of zaqar.conf, or remove it if the
# value is empty
# _marconi_swift_iniset section option value
function _marconi_swift_iniset {
    if [[ -n "$3" ]]; then
        iniset "$ZAQAR_CONF" "$1" "$2" "$3"
    else
        inidelete "$ZAQAR_CONF" "$1" "$2"
    fi
}

# use_marconi_swift() - Name the driver in zaqar.conf
function use_marconi_swift {
    local store
    for store in $MARCONI_SWIFT_STORES; do
        iniset "$ZAQAR_CONF" drivers "$store" marconi-swift
    done
}

# configure_marconi_swift() - Write the driver's part of zaqar.conf
function configure_marconi_swift {
    # Zaqar's plugin has not made the folder if it comes after this one.
    sudo install -d -o "$STACK_USER" "$(dirname "$ZAQAR_CONF")"

    use_marconi_swift

    local store group
    for store in $MARCONI_SWIFT_STORES; do
        group=drivers:$store:marconi-swift
        _marconi_swift_iniset "$group" uri marconi-swift://
        _marconi_swift_iniset "$group" auth_section marconi-swift
        _marconi_swift_iniset "$group" region_name "$MARCONI_SWIFT_REGION"
        _marconi_swift_iniset "$group" valid_interfaces \
            "$MARCONI_SWIFT_INTERFACE"
        _marconi_swift_iniset "$group" cafile "$MARCONI_SWIFT_CAFILE"
        _marconi_swift_iniset "$group" container_prefix \
            "$MARCONI_SWIFT_CONTAINER_PREFIX"
        _marconi_swift_iniset "$group" storage_policy \
            "$MARCONI_SWIFT_STORAGE_POLICY"
    done

    group=marconi-swift
    _marconi_swift_iniset $group auth_type password
    _marconi_swift_iniset $group auth_url "$MARCONI_SWIFT_AUTH_URL"
    _marconi_swift_iniset $group username "$MARCONI_SWIFT_USER"
    _marconi_swift_iniset $group password \
        "${MARCONI_SWIFT_PASSWORD:-$SERVICE_PASSWORD}"
    _marconi_swift_iniset $group project_name "$MARCONI_SWIFT_PROJECT"
    _marconi_swift_iniset $group user_domain_name "$MARCONI_SWIFT_DOMAIN"
    _marconi_swift_iniset $group project_domain_name "$MARCONI_SWIFT_DOMAIN"
}

# configure_tempest_for_marconi_swift() - Have tempest test messaging
function configure_tempest_for_marconi_swift {
    iniset "$TEMPEST_CONFIG" service_available zaqar True
}

# cleanup_marconi_swift() - Take the driver's part out of zaqar.conf, which
# Zaqar's plugin leaves where it is
function cleanup_marconi_swift {
    if [[ ! -e "$ZAQAR_CONF" ]]; then
        return
    fi
    local store section
    for store in message_store management_store; do
        if [[ $(iniget "$ZAQAR_CONF" drivers $store) == marconi-swift ]]; then
            inidelete "$ZAQAR_CONF" drivers $store
        fi
    done
    for section in marconi-swift \
        drivers:{message,management}_store:marconi-swift; do
        # From its header up to the next one, which stays.
        sed -i -e "/^\[$section\]/,/^\[/ { /^\[$section\]/d; /^\[/!d; }" \
            "$ZAQAR_CONF"
    done
}

# Phases
# ------

if [[ "$1" == "stack" && "$2" == "pre-install" ]]; then
    check_marconi_swift

elif [[ "$1" == "stack" && "$2" == "install" ]]; then
    echo_summary "Installing marconi-swift"
    install_marconi_swift

elif [[ "$1" == "stack" && "$2" == "post-config" ]]; then
    echo_summary "Configuring marconi-swift"
    create_marconi_swift_account
    configure_marconi_swift

elif [[ "$1" == "stack" && "$2" == "extra" ]]; then
    # A Zaqar plugin that comes later than this one has named other stores in
    # post-config. It is in this phase, and later than this, that it starts
    # Zaqar. One that came earlier has started Zaqar with the same names.
    use_marconi_swift

elif [[ "$1" == "stack" && "$2" == "test-config" ]]; then
    if is_service_enabled tempest; then
        configure_tempest_for_marconi_swift
    fi

elif [[ "$1" == "unstack" ]]; then
    # No process is this plugin's, and the next stack writes over its part of
    # zaqar.conf.
    :

elif [[ "$1" == "clean" ]]; then
    echo_summary "Cleaning up marconi-swift"
    cleanup_marconi_swift
fi

# Restore xtrace
$_XTRACE_MARCONI_SWIFT
