"""Performance: what is measured, about whom, and where it falls short.

Owns the directory (teams, employees and who leads whom, by day), the catalogue of KPIs and their targets, the facts
of every employee's month with their corrections and the month's rating, calibration rounds of reviewers, assessments
of leads, and the detection of under-performance: its policies, and each streak found with the facts that say so. What
follows from a detection is coaching's to decide.
"""
