"""The recipes of the published study, its queue, and running and publishing notebooks.

`recipes` lists what is trained, `opening` finds the photographs, `running` is the command. What
makes up this one study belongs here: which networks, which tables, which numbers its pages quote.
What another study could use as it is belongs into one of the rooms above.
"""
