"""The parts of a student's report: the graph diagram and the PDF page."""
