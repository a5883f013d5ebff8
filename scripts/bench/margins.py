"""What verdicts are held to: margins, rounds and chances; without numpy, for a build reads them."""

MARGIN = 0.01
"""A difference within 1 % either way counts as none, whatever its sign: half of the 2 % that a run
is to find, for what lies at the margin itself is found in half of all runs at best."""
MARGIN_APART = 0.05
"""The same for runs of their own. Within one, what slows the machine meets both sides; of two, each
has its own clocks and memory layout: Tritonbench's nightly figures move by 4 %, and xformers' own
benchmarks call 5 % a change."""
MOST_NOISE = 0.05
"""Two runs of the same thing further apart than this: the session can call nothing the same."""
LEAST_ROUNDS = 6
"""Fewer have no distribution-free interval of 95 % and no p under 5 %, whatever the samples."""
FALSE_DISCOVERIES = 0.05
