"""A network of one convolution, so that tests of the training wait for nothing.

Importing this module adds it to the architectures, in this process alone.
"""

import keras
from keras import layers

from lesions import training
from lesions.networks import architectures

NAME = "tiny"


def _tiny(image):
    tensor = layers.Rescaling(1 / 127.5, -1.0, name="tiny_rescaling", dtype="float32")(image)
    tensor = layers.Conv2D(8, 4, 4, use_bias=False, name="tiny_conv")(tensor)
    tensor = layers.BatchNormalization(momentum=0.5, name="tiny_bn")(tensor)
    return layers.ReLU(name="tiny_relu")(tensor)


def keras_own(include_top, weights):
    """Build the network as a constructor of `keras.applications` does."""
    image = keras.Input((None, None, 3))
    return keras.Model(image, _tiny(image))


architectures.BRANCHES[NAME] = (NAME,)
architectures.BUILDERS[NAME] = _tiny
# Where a test needs any run: a second of training.
SMALL = training.Config(NAME, image_size=32, epochs=1, augmentation="none", tta=False)


def begin(config, rows, store, work):
    """Train the first epoch of a config, leave a checkpoint in a folder, and return the trainer."""
    work.mkdir(exist_ok=True)
    trainer = training.Trainer(config, rows, store, work)
    trainer.start_phase("all", config.epochs)
    trainer.train_epoch(0, config.epochs)
    trainer.write_checkpoint()
    return trainer
