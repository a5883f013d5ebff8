"""Run the tests: unit (fast, no network, no engine), registry, engine, image and e2e."""
