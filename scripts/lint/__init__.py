"""Check style: ruff, shellcheck, hadolint."""
