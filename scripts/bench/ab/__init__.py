"""Two locks of the webui environment, measured in turns: what a dependency bump asks."""
