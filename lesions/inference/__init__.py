"""A trained network with everything around it: photographs in, calibrated answers out.

What turns one stored network and photographs into probabilities, a class and warnings belongs
here. Drawings, heat maps, training, the command line and the network service do not: they come
after this room and may import it.
"""

from lesions.inference.classifier import (
    BEST_MODEL,
    COLUMNS,
    COLUMNS_WITH_PATIENT,
    Classifier,
    find_images,
)
