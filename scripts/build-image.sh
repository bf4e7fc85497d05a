#!/usr/bin/env bash
# Builds the container image with the first engine that works here. Usage: build-image.sh NAME[:TAG]
set -euo pipefail
cd "$(dirname "$0")/.."
name=${1:?name of the image}

# A client without its daemon is no engine, so each is asked whether it can work at all.
if docker info >/dev/null 2>&1; then
    echo "building $name with docker"
    exec docker build --tag "$name" .
elif podman info >/dev/null 2>&1; then
    echo "building $name with podman"
    exec podman build --format docker --tag "$name" .
elif buildah info >/dev/null 2>&1; then
    echo "building $name with buildah"
    exec buildah build --format docker --tag "$name" .
fi
echo "no container engine works here: tried docker, podman and buildah" >&2
exit 1
