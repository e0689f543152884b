"""Files that a finished run leaves for the user: pictures, figures and the catalog page."""
