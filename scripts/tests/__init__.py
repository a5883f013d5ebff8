"""Run the tests: unit (fast, no network, no engine), engine, image and e2e."""
