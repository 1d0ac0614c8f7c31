# Zaqar answers, and Swift lets it in.
openstack messaging ping
openstack messaging health
