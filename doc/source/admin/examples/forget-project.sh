# sh forget-project.sh PROJECT: the id of one that is deleted in Keystone.
set -eu
prefix=marconi  # container_prefix

listed=$(swift list --prefix "$prefix:")
for kind in queues topics flavors catalogue; do
    if printf '%s\n' "$listed" | grep -qxF "$prefix:$kind"; then
        swift delete "$prefix:$kind" --prefix "${1:?}:"
    fi
done
