"""What a machine may lack in the middle of the work, said in a sentence.

Each verb finds what it can before it works; a disk that fills up, memory that runs out or a GPU that goes
away shows later, anywhere in the libraries below.
"""

from __future__ import annotations

import errno

_KEPT = "what is finished is kept: run the same command again"

_NO_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)

_OF_MEMORY = ("can't allocate memory", "out of memory")
_OF_GPU = ("CUDA error", "No CUDA GPUs are available", "CUDA driver", "cuDNN error", "NCCL")


def machine_failure(error: BaseException) -> str | None:
    """Return what the machine lacks and what to do, None for any other error."""
    said = " ".join(str(error).split())
    if isinstance(error, OSError):
        if error.errno not in _NO_WRITING:
            return None
        place = f" {error.filename}" if error.filename else ""
        wanted = "make room or name another place"
        return f"the file{place} cannot be written ({error.strerror}); {wanted}; {_KEPT}"
    # By its name: importing it would slow down `--help`.
    if type(error).__name__ == "BrokenProcessPool":
        return f"a process that computed died, probably for want of memory; {_KEPT}, with fewer processes"
    torch_runtime = isinstance(error, RuntimeError)
    if isinstance(error, MemoryError) or (torch_runtime and any(word in said for word in _OF_MEMORY)):
        return f"the memory is used up; close other programs or ask for less at once; {_KEPT}"
    if torch_runtime and any(word in said for word in _OF_GPU):
        return f"the GPU failed or is gone ({said[:120]}); give --device cpu, or {_KEPT} where it is back"
    return None
