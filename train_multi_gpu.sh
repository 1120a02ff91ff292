#!/usr/bin/env bash
# Prepare the data of one experiment and train on several devices: see usage below, or --help.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: ./train_multi_gpu.sh CONFIG N [key=value ...] [flags of `signseq train`]

Prepares the poses that CONFIG names (at once, when that is done already), then trains with N
processes: one per GPU, or N on the CPU where there is no GPU. training.batch_size counts per
process.

  ./train_multi_gpu.sh configs/NAME.yaml 4
  ./train_multi_gpu.sh configs/NAME.yaml 4 training.batch_size=16 --resume
  CUDA_VISIBLE_DEVICES=2,3 ./train_multi_gpu.sh configs/NAME.yaml 2

Several machines: run this on each of them, with the same CONFIG, N (processes per machine) and
MASTER_ADDR, and its own NODE_RANK. Where they share a disk, run `signseq prepare CONFIG` once
before.

  NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 ./train_multi_gpu.sh configs/NAME.yaml 8
  NNODES=2 NODE_RANK=1 MASTER_ADDR=10.0.0.1 ./train_multi_gpu.sh configs/NAME.yaml 8

  NNODES       number of machines (1)
  NODE_RANK    number of this machine, from 0
  MASTER_ADDR  address of machine 0, as the others reach it
  MASTER_PORT  a free port there (29500)

training.checkpoint_dir must then be on a disk that all machines share.

Exit codes: 0 done; 75 told to stop by SIGTERM or SIGUSR1, and saved: go on with --resume; 2 wrong
usage; else failed.
TEXT
}

fail() {
    printf 'train_multi_gpu.sh: %s\n' "$@" >&2
    exit 2
}

is_positive() { [[ "$1" =~ ^[1-9][0-9]{0,5}$ ]]; }

for argument in "$@"; do
    case "$argument" in -h | --help) usage && exit 0 ;; esac
done
[ $# -ge 2 ] || fail "a config and a number of processes, please: ./train_multi_gpu.sh configs/NAME.yaml 2" \
    "More: ./train_multi_gpu.sh --help"
config="$1"
processes="$2"
shift 2
[ -f "$config" ] || fail "$config: no such config file. The first argument is a YAML file, as in configs/."
is_positive "$processes" ||
    fail "N is '$processes'; the second argument is the number of processes, 1 or more."

nodes="${NNODES:-1}"
is_positive "$nodes" || fail "NNODES is '$nodes'; it's the number of machines, 1 or more."
if [ "$nodes" -gt 1 ]; then
    rank="${NODE_RANK:-}"
    [[ "$rank" =~ ^(0|[1-9][0-9]{0,5})$ ]] && [ "$rank" -lt "$nodes" ] ||
        fail "NODE_RANK is '$rank'; with NNODES=$nodes it's the number of this machine, 0 to $((nodes - 1))."
    [ -n "${MASTER_ADDR:-}" ] ||
        fail "with NNODES=$nodes, MASTER_ADDR must be the address of machine 0."
    where=(--nnodes "$nodes" --node_rank "$rank"
        --master_addr "$MASTER_ADDR" --master_port "${MASTER_PORT:-29500}")
else
    where=(--standalone)
fi

here="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)"
if [ -x "$here/.venv/bin/signseq" ]; then PATH="$here/.venv/bin:$PATH"; fi
command -v signseq >/dev/null || fail "signseq isn't installed. Run: bash setup.sh"
command -v torchrun >/dev/null || fail "torchrun isn't there, though it comes with torch. Run: bash setup.sh"
python="$(dirname -- "$(command -v torchrun)")/python" # the one that torchrun will use
[ -x "$python" ] || python=python3

gpus="$("$python" -c 'import torch; print(torch.cuda.device_count())')" ||
    fail "couldn't ask torch for its GPUs (see above)."
if [ "$gpus" -gt 0 ]; then
    [ "$processes" -le "$gpus" ] ||
        fail "N is $processes, but there are $gpus GPUs here (CUDA_VISIBLE_DEVICES counts)."
else
    printf 'train_multi_gpu.sh: no GPU here: training on the CPU (processes: %s).\n' "$processes" >&2
fi

# What would stop every process at once is said by one, before anything is prepared.
try_only=false
for argument in "$@"; do
    case "$argument" in --dry-run | --overfit) try_only=true ;; esac
done
if ! $try_only; then WORLD_SIZE=$((nodes * processes)) signseq train "$config" "$@" --check; fi

overrides=() # what `prepare` takes too; flags are for `train` alone
for argument in "$@"; do
    if [[ "$argument" =~ ^[A-Za-z_][A-Za-z0-9_.]*= ]]; then overrides+=("$argument"); fi
done

# ${array[@]+...}: an empty array counts as unset in bash before 4.4, which macOS still has.
signseq prepare "$config" ${overrides[@]+"${overrides[@]}"}

if [ -z "${OMP_NUM_THREADS:-}" ]; then # each process its share of the cores
    cores="$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)"
    export OMP_NUM_THREADS="$((cores > processes ? cores / processes : 1))"
fi
# torchrun, with an exit code that says how the run ended
exec "$python" -m signseq.training.launch "${where[@]}" --nproc_per_node "$processes" \
    -m signseq train "$config" "$@"
