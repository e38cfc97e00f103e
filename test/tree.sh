#!/bin/sh
# A private copy of the PostgreSQL server's trees, so that tests install
# integ without touching the machine's server: tree.sh DIR [pg_config].
# PostgreSQL finds its libraries relative to its executable, so a copy that
# keeps the layout works as it stands. Prints the path of the copy's pg_config.
set -eu
dir=$1
config=${2:-pg_config}
copy="$dir$($config --bindir)/pg_config"
if [ ! -x "$copy" ]; then
    for tree in "$($config --bindir)" "$($config --pkglibdir)" "$($config --sharedir)" "$($config --includedir-server)"; do
        mkdir -p "$dir$tree"
        cp -a "$tree/." "$dir$tree/"
    done
    # Headers of the client library live beside the server's.
    mkdir -p "$dir$($config --includedir)"
    cp -a "$($config --includedir)/." "$dir$($config --includedir)/"
fi
echo "$copy"
