"""The course kit: a starter cut from the real code, a grader that explains mistakes, a report from event files."""
