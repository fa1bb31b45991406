#!/bin/sh
# The ACLs of the audit trail, with Kafka's own tool; create_topic.py --deliverer, --consumer makes the same.
#
#   acls.sh BROKERS TOPIC DELIVERER [CONSUMER GROUP]      users as User:name
#
# KAFKA_ACLS: where kafka-acls.sh is, and what it needs to log in, as
# "kafka-acls.sh --command-config admin.properties".
set -eu
brokers=$1 topic=$2 deliverer=$3
allow() {
    # shellcheck disable=SC2086
    ${KAFKA_ACLS:-kafka-acls.sh} --bootstrap-server "$brokers" --add --allow-principal "$@"
}

# The worker's transactions, whatever the store is called; a resync renews its name.
allow "$deliverer" --operation Write --transactional-id admin_ext. --resource-pattern-type prefixed
# READ is for recovery, which asks the topic itself.  No group, no rights on the cluster.
allow "$deliverer" --operation Write --operation Read --topic "$topic"
[ $# -gt 3 ] || exit 0
allow "$4" --operation Read --topic "$topic"
allow "$4" --operation Read --group "$5"
