"""Screen a space on a Slurm cluster: Dask asks Slurm for workers, this process keeps the results.

Run it on a login or service node, in the environment that the nodes share; stopped at any moment, the same
command goes on:

    python slurm_screen.py funnel-32m /scratch/me/big --jobs 20 --partition batch

With --gpu every job is one worker with one GPU (`--gres=gpu:1`); its networks run there.
"""

from __future__ import annotations

import argparse

from dask_jobqueue import SLURMCluster

from softlyte.screening.funnel import screen


def main() -> None:
    """Ask for workers, screen, give them back."""
    parser = argparse.ArgumentParser(description="screen a space on a Slurm cluster")
    parser.add_argument("space", help="space file, or name of a shipped space")
    parser.add_argument("out", help="folder for the results, on any file system that this node sees")
    parser.add_argument("--jobs", type=int, default=4, help="Slurm jobs")
    parser.add_argument("--cores", type=int, default=16, help="of a job: a worker of one thread on each")
    parser.add_argument("--memory", default="48GB", help="of a job; a worker of funnel-32m needs about 2 GB")
    parser.add_argument("--partition", default=None)
    parser.add_argument("--account", default=None)
    parser.add_argument("--walltime", default="02:00:00")
    parser.add_argument("--gpu", action="store_true", help="one worker and one GPU to a job")
    chosen = parser.parse_args()
    workers = 1 if chosen.gpu else chosen.cores
    with SLURMCluster(
        queue=chosen.partition,
        account=chosen.account,
        walltime=chosen.walltime,
        cores=workers,  # threads of all workers of a job together
        processes=workers,
        memory=chosen.memory,
        job_cpu=chosen.cores,
        job_extra_directives=["--gres=gpu:1"] if chosen.gpu else [],
        # What numpy and torch would do with more threads, Softlyte does with more workers.
        job_script_prologue=["export OMP_NUM_THREADS=1"],
    ) as cluster:
        cluster.scale(jobs=chosen.jobs)
        result = screen(
            chosen.space,
            out=chosen.out,
            scheduler=cluster.scheduler_address,
            device="cuda" if chosen.gpu else "cpu",
            progress=lambda tier, done, total: print(f"{tier} {done:,}/{total:,}", flush=True),
        )
    print(result.candidates.head())


if __name__ == "__main__":
    main()
