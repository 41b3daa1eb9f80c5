"""What an exception means for a run: this pair's failure, or the end of this process."""

import errno
import sys

from editbench.process.redaction import redacted

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG, errno.EMFILE, errno.ENFILE}


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device (or the host) had no room, so that less at once may go through."""
    if isinstance(error, MemoryError):
        return True
    if "torch" not in sys.modules or not isinstance(error, Exception):  # only torch speaks of a device's memory
        return False
    from accelerate.utils.memory import should_reduce_batch_size

    return should_reduce_batch_size(error)


def is_fatal(error: BaseException) -> bool:
    """Whether going on would only fail again: a full disk, or a GPU that is lost or that an illegal access poisoned.

    A process in that state must stop, or it would mark every pair after this one as failed.
    """
    if isinstance(error, OSError) and error.errno in _DISK:
        return True
    torch = sys.modules.get("torch")
    if torch is None or is_out_of_memory(error):
        return False
    return isinstance(error, torch.AcceleratorError) or not _device_answers()


def _device_answers() -> bool:
    """Whether the GPU still works: what a library raises first in a poisoned context may be any error."""
    import torch

    if not torch.cuda.is_initialized():
        return True
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return False
    return True


def reason(error: BaseException) -> str:
    """The exception in a line."""
    first = str(error).strip().splitlines()[:1]
    return redacted(f"{type(error).__name__}: {first[0] if first else 'no message'}")[:500]


def empty_cache() -> None:
    """Give back what a failed call left on the device."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
