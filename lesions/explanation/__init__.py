"""Roughly where the evidence for a class lies, and how far such maps can be trusted.

`Explainer` makes heat maps of one model by the three `methods`, Grad-CAM and two relatives;
`pictures` lays them over photographs. `benchmark` measures the maps: agreement with the outlines
of lesions beside controls that know nothing (`agreement`, `controls`), faithfulness by ROAD and by
taking the lesion away (`faithfulness`), dependence on the weights and steadiness (`sanity`), and
answers under artefacts. `measurements` is the table that this fills, `models/explanations.csv`.

What may enter: methods and measures that the notebooks or the README show. The room reads
trained networks and photographs; it trains nothing, serves nothing and knows no command.
"""

from lesions.explanation.explainer import Explainer, require_tensorflow
from lesions.explanation.methods import METHODS
from lesions.explanation.pictures import overlay, save_example, three_panels
