#!/bin/sh
# Make a cluster of REDIS_HOSTS (the masters first, then a replica for each), or have those that were away meet again under
# their new addresses. Can be run again at any time; what is in a cluster already stays as it is.
set -eu
address() { getent hosts "$1" | awk '{ print $1; exit }'; }
field() { redis-cli -h "$1" cluster info | tr -d '\r' | sed -n "s/^$2://p"; }
# Whether it finds all slots served, and knows everybody by an address of today.
whole() {
    test "$(field "$1" cluster_state)" = ok || return 1
    for known in $(redis-cli -h "$1" cluster nodes | awk '{ sub(/:[0-9]+@.*/, "", $2); print $2 }'); do
        case "$addresses " in *" $known "*) ;; *) return 1 ;; esac
    done
}

addresses=
for host in $REDIS_HOSTS; do
    until ip=$(address "$host") && test -n "$ip" && redis-cli -h "$ip" ping | grep -q PONG; do
        echo "Waiting for $host."
        sleep 1
    done
    addresses="$addresses $ip"
done

first=
endpoints=
for ip in $addresses; do
    first=${first:-$ip}
    endpoints="$endpoints $ip:6379"
done

alone=yes
for ip in $addresses; do
    test "$(field "$ip" cluster_slots_assigned)" = 0 || alone=no
done
if test $alone = yes; then
    # shellcheck disable=SC2086
    redis-cli --cluster create $endpoints --cluster-replicas 1 --cluster-yes
else
    for ip in $addresses; do
        redis-cli -h "$first" cluster meet "$ip" 6379
    done
fi

for ip in $addresses; do
    until whole "$ip"; do
        echo "Waiting until $ip finds the cluster whole."
        sleep 1
    done
done
echo "The cluster is whole."
