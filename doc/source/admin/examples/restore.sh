# sh restore.sh FOLDER: one that backup.sh made.
set -eu
for folder in "$1"/*; do
    (cd "$folder" && swift upload "${folder##*/}" ./*)
done
