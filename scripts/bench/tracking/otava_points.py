"""Change points by Apache Otava: run by the Python that has it, a JSON object in and one out.

In: `window`, `max_p`, `min_magnitude` and `series`, a name and its values each. Out: for each name
the pairs of index and p of its change points.
"""

import json
import sys

from otava.analysis import compute_change_points

if __name__ == "__main__":
    asked = json.load(sys.stdin)
    found = {}
    for name, values in asked["series"].items():
        points, _ = compute_change_points(
            values,
            window_len=asked["window"],
            max_pvalue=asked["max_p"],
            min_magnitude=asked["min_magnitude"],
        )
        found[name] = [(int(point.index), float(point.stats.pvalue)) for point in points]
    json.dump(found, sys.stdout)
