"""Train a network by a config and leave a run folder."""

from lesions.training.runs import (
    LATER_FIELDS,
    LOCK,
    RUN_FILES,
    Busy,
    Config,
    Run,
    find_run,
    open_store,
    read_run,
    run_name,
    train,
    train_or_load,
)

__all__ = [
    "Busy",
    "Config",
    "LATER_FIELDS",
    "LOCK",
    "RUN_FILES",
    "Run",
    "find_run",
    "open_store",
    "read_run",
    "run_name",
    "train",
    "train_or_load",
]
