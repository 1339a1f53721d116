"""Tests of the planners, with a task and a technique of which the right answers are known."""
