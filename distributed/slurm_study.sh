#!/bin/bash
# The rows of a stitch study as a Slurm array: task K runs ROWS_EACH rows (1), from row K * ROWS_EACH on.
#
#   sbatch --array=0-79%20 distributed/slurm_study.sh STUDY
#   sbatch --array=0-999 --export=ALL,ROWS_EACH=100 distributed/slurm_study.sh STUDY
#
# STUDY is on a file system that all nodes have; STITCH names the binary, if it is not
# target/release/stitch in the folder of submission. A task that is preempted or cancelled writes a
# checkpoint; with --requeue, or when the array is submitted again, it goes on from that.
#SBATCH --job-name=stitch-study
#SBATCH --cpus-per-task=1
#SBATCH --mem=1G
#SBATCH --time=02:00:00
#SBATCH --requeue
#SBATCH --signal=B:TERM@60
set -eu

study=${1:?the folder of the study is wanted}
stitch=${STITCH:-target/release/stitch}
each=${ROWS_EACH:-1}
first=$((SLURM_ARRAY_TASK_ID * each))
# Its first line is the header.
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
