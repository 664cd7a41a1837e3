"""The architectures by name and the branches of each; nothing heavy is imported for it."""

BRANCHES = {
    "cnn": ("cnn",),
    "resnet18": ("resnet18",),
    "resnet50": ("resnet50",),
    "densenet121": ("densenet121",),
    "densenet169": ("densenet169",),
    "efficientnetb0": ("efficientnetb0",),
    "efficientnetb3": ("efficientnetb3",),
    "cnn_densenet121": ("cnn", "densenet121"),
    "densenet121_efficientnetb3": ("densenet121", "efficientnetb3"),
}
ARCHITECTURES = tuple(BRANCHES)
