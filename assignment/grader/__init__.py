"""Grader of the assignment: run students' code in a sandbox and judge the numbers that it computes."""
