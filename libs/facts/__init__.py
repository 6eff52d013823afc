"""What the performance service's events say, for every service that rests on them.

The directory, definitions and targets, and what was recorded of employees' days. Each service follows them into a
database of its own; what may be written is for the performance service to decide.
"""
