openstack messaging queue create greetings
openstack messaging message post \
    --client-id 3381af92-2b9e-11e3-b191-71861300734c \
    greetings '[{"ttl": 300, "body": "hello"}]'
openstack messaging claim create greetings
openstack messaging queue stats greetings
