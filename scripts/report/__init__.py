"""Make the HTML page of all that was built and measured, committed results and local ones."""
