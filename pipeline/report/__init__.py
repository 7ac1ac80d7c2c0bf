"""`report.html`: one page of what went in, what was dropped and why, what was kept, and what proves it."""
