"""The suite `rebuild`: what a change costs, with the layers in our order and in worker-a1111's.

`run` starts `__main__` in a workspace of its own, with an engine whose cache is empty. There
`orders` builds the same inputs in both orders, each again after every change of `changes`, and
writes a row for each build; `output` makes table, CSV and chart of the rows.
"""
