"""The recipes of the published study, its queue, and running and publishing notebooks."""

from lesions.study.running import (
    NEED_TENSORFLOW,
    main,
    render,
    run,
    title,
    train_queue,
    write_index,
)

__all__ = [
    "NEED_TENSORFLOW",
    "main",
    "render",
    "run",
    "title",
    "train_queue",
    "write_index",
]
