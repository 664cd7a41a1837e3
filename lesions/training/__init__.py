"""Train a network by a config and leave a run folder that says everything about it.

What may enter: settings, batches and their augmentation, the loop with its checkpoint, and
the naming, finding, reading and writing of runs. Which configs make up the study is decided in
`lesions.study`, what a run's predictions are worth in `lesions.evaluation`.
"""

from lesions.training.config import Config, from_record, read_settings
from lesions.training.earlier import StartMissing, find_weights
from lesions.training.runs import (
    LOCK,
    PARTIAL,
    RUN_FILES,
    Busy,
    Run,
    find_recipe,
    find_run,
    load_run,
    model_details,
    open_store,
    read_run,
    rows_of,
    run_name,
    train,
)
from lesions.training.trainer import BEST, CHECKPOINT, HISTORY, Trainer, schedule
