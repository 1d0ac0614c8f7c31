for folder in backup/*; do
    (cd "$folder" && swift upload "${folder#backup/}" ./*)
done
