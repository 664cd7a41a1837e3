"""What a training minimises, by name; each takes `label_smoothing`."""

import keras

LOSSES = {
    "crossentropy": keras.losses.CategoricalCrossentropy,
    "focal": keras.losses.CategoricalFocalCrossentropy,  # Lin et al. 2017
}
