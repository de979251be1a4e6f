#!/bin/bash
# Runs the rows of a stitch study as a Slurm array: task K runs ROWS_EACH rows (default 1), starting at row K * ROWS_EACH.
#
#   sbatch --array=0-79%20 distributed/slurm_study.sh STUDY
#   sbatch --array=0-999 --export=ALL,ROWS_EACH=100 distributed/slurm_study.sh STUDY
#
# STUDY must be on a file system that all nodes share; STITCH is the binary, with stitch-engine next to it (default:
# target/release/stitch in the folder of submission). A preempted or cancelled task writes a checkpoint, from which it resumes when it is requeued or
# submitted again.
#SBATCH --job-name=stitch-study
#SBATCH --cpus-per-task=1
#SBATCH --mem=1G
#SBATCH --time=02:00:00
#SBATCH --requeue
#SBATCH --signal=B:TERM@60
set -eu

study=${1:?give the folder of the study}
stitch=${STITCH:-target/release/stitch}
each=${ROWS_EACH:-1}
first=$((SLURM_ARRAY_TASK_ID * each))
# Without the header.
rows=$(($(wc -l <"$study/plan.csv") - 1))
end=$((first + each < rows ? first + each : rows))
if [ "$first" -ge "$rows" ]; then
    echo "task $SLURM_ARRAY_TASK_ID: the plan has $rows rows" >&2
    exit 0
fi
if [ "$each" -eq 1 ]; then
    exec "$stitch" study run "$study" --row "$first"
fi
exec "$stitch" study run "$study" --rows "$first..$end" --jobs 1
