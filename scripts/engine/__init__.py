"""Start, stop or look at the Docker engine that `build`, `serve` and `bench` use."""
