#!/bin/sh
# Installs the pinned llama.cpp into a folder outside the repository and builds the shim against
# the headers of exactly that release, which the package carries as a git bundle.
set -eu

folder=${1:?usage: prepare.sh FOLDER}
here=$(cd "$(dirname "$0")" && pwd)

mkdir -p "$folder"
cp "$here/package.json" "$folder/"
cd "$folder"
npm install --omit=optional --ignore-scripts --no-package-lock --no-fund --no-audit --loglevel=error

libraries=node_modules/@node-llama-cpp/linux-x64/bins/linux-x64
source=node_modules/node-llama-cpp/llama
tag=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["tag"])' <"$source/llama.cpp.info.json")
if [ ! -e "$libraries/libllama.$tag.so" ]; then
    echo "prepare.sh: the package's headers are of $tag, its libraries are not" >&2
    exit 1
fi

rm -rf headers
mkdir headers
git -c init.defaultBranch=main clone --quiet --bare "$source/gitRelease.bundle" headers/bundle.git
git --git-dir=headers/bundle.git archive HEAD include ggml/include | tar -x -C headers
rm -rf headers/bundle.git

cc -std=c11 -O2 -Wall -Wextra -Werror -fPIC -shared -o libreference.so "$here/shim.c" \
    -isystem headers/include -isystem headers/ggml/include \
    "$libraries/libllama.$tag.so" "$libraries/libggml.$tag.so" "$libraries/libggml-base.so" \
    "-Wl,-rpath,\$ORIGIN/$libraries"
echo "prepared llama.cpp $tag in $(pwd)"
