"""`report.html`: one page of what went in, what was dropped and why, what stays, and what proves it."""
