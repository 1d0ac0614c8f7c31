# The account that everything is stored in, and the user that stores there.
openstack project create --domain default messaging
openstack role create --or-show swiftoperator
openstack user create --domain default --password "$STORE_PASSWORD" \
    marconi-swift
openstack role add --project messaging --user marconi-swift swiftoperator

# Zaqar itself, which asks Keystone whose a token is.
openstack role create --or-show service
openstack user create --domain default --password "$ZAQAR_PASSWORD" zaqar
openstack role add --project service --user zaqar service

# Where clients find it.
openstack service create --name zaqar messaging
openstack service create --name zaqar-websocket messaging-websocket
for interface in public internal; do
    openstack endpoint create --region RegionOne messaging $interface \
        "$ZAQAR_URL"
    openstack endpoint create --region RegionOne messaging-websocket \
        $interface "$WEBSOCKET_URL"
done
