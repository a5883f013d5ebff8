"""Tests that ask the real package registry: locks, their verification, their installation."""
