# sh backup.sh FOLDER: a new one. It is whole if this ends with status 0.
set -eu
umask 077
prefix=marconi  # container_prefix

listed=$(swift list --prefix "$prefix:")
containers=$(printf '%s\n' "$listed" |
    grep -xE "$prefix:(queues|topics|pools|flavors|catalogue)") || {
    echo "There is nothing to save with the prefix $prefix." >&2
    exit 1
}
mkdir "$1"
for container in $containers; do
    swift download "$container" --output-dir "$1/$container"
done
