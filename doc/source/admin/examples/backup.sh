swift list --prefix marconi: |
    grep -xE 'marconi:(queues|topics|pools|flavors|catalogue)' |
    while read -r container; do
        swift download "$container" --output-dir "backup/$container"
    done
