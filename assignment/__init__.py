"""The course kit: a starter made from the real code, a grader that says what is wrong, a report from event files."""
