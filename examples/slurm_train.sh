#!/bin/bash
#SBATCH --job-name=softlyte-train
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --mem=64G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --output=softlyte-train-%j.log

# Train an ensemble on the GPUs of one node:
#     sbatch examples/slurm_train.sh CONFIG.toml RUN_FOLDER
# One task only: Softlyte starts a process for each GPU itself. The time limit of Softlyte lies below that of the
# queue; a run that is not finished then is queued again and goes on where it stopped. A job that is killed or
# moved goes on from its last whole epoch.
set -euo pipefail

config=${1:-models/configs/composition.toml}
out=${2:-train-out}

softlyte train "$config" --out "$out" --device cuda --devices "${SLURM_GPUS_ON_NODE:-1}" --max-hours 3.75

if [[ ! -e "$out/metrics.json" ]]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
