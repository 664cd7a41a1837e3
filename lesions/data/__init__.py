"""Find, read, check and split HAM10000 and its look-alikes; decode and store photographs.

What may enter: whatever turns files into checked tables and arrays, before any network. Here
are the finder (`finding`, `walking`), the readers (`tables`, `values`, `diagnoses`, `reading`),
the splits (`splits`, `leaky_splits`, `balance`), photographs (`images`, and `decoding`, `jpeg`,
`bounded` behind it), drawn artefacts and the demo set.
"""

from lesions.data.bounded import decoders
from lesions.data.finding import Dataset, find_dataset, find_photographs, open_dataset
from lesions.data.fingerprints import data_fingerprint, photographs_digest
from lesions.data.patients import (
    PATIENT_FEATURES,
    UNKNOWN_PATIENT,
    Patient,
    patient_features,
    read_patients,
)
from lesions.data.reading import files_read, read_metadata
from lesions.data.splits import (
    FOLDS,
    SPLITS,
    check_classes_present,
    check_no_leak,
    count_shared_lesions,
    hold_out,
    read_splits,
    sample_lesions,
    split_by_image,
    split_by_lesion,
    with_split,
    without_validation,
    write_splits,
)
from lesions.data.tables import COLUMNS
from lesions.data.values import SEXES, SITES
from lesions.data.walking import IMAGE_SUFFIXES, list_photographs
from lesions.system.folders import REPOSITORY, build_folder
