"""Networks: what they are made of, where their weights come from, and their files.

`models` builds, saves and loads them, and `views` predicts with them; other rooms use these two.
What knows Keras layers or the contents of a model file belongs here; what trains a network,
prepares a photograph for one or explains its answers does not.
"""
