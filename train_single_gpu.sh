#!/usr/bin/env bash
# Prepare the data of one experiment and train on one device: see usage below, or --help.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: ./train_single_gpu.sh CONFIG [key=value ...] [flags of `signseq train`]

Prepares the poses that CONFIG names (at once, when that is done already), then trains on one GPU,
or on the CPU where there is none.

  ./train_single_gpu.sh configs/NAME.yaml
  ./train_single_gpu.sh configs/NAME.yaml training.learning_rate=1e-4 training.batch_size=16
  ./train_single_gpu.sh configs/NAME.yaml --resume

The GPU is the first of CUDA_VISIBLE_DEVICES, or number 0 where that isn't set. Several GPUs or
machines: ./train_multi_gpu.sh
TEXT
}

fail() {
    printf 'train_single_gpu.sh: %s\n' "$@" >&2
    exit 2
}

for argument in "$@"; do
    case "$argument" in -h | --help) usage && exit 0 ;; esac
done
[ $# -ge 1 ] || fail "which config? For example: ./train_single_gpu.sh configs/NAME.yaml" \
    "More: ./train_single_gpu.sh --help"
config="$1"
shift
[ -f "$config" ] || fail "$config: no such config file. The first argument is a YAML file, as in configs/."

here="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)"
if [ -x "$here/.venv/bin/signseq" ]; then PATH="$here/.venv/bin:$PATH"; fi
command -v signseq >/dev/null || fail "signseq isn't installed. Run: bash setup.sh"

overrides=() # what `prepare` takes too; flags are for `train` alone
for argument in "$@"; do
    if [[ "$argument" =~ ^[A-Za-z_][A-Za-z0-9_.]*= ]]; then overrides+=("$argument"); fi
done

# Shown more than one GPU, a single process would spread each batch over all of them, slowly.
visible="${CUDA_VISIBLE_DEVICES-0}"
export CUDA_VISIBLE_DEVICES="${visible%%,*}"

# ${array[@]+...}: an empty array counts as unset in bash before 4.4, which macOS still has.
signseq prepare "$config" ${overrides[@]+"${overrides[@]}"}
exec signseq train "$config" "$@"
