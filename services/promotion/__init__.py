"""Promotion: who may be promoted, and why or why not; and how it is decided who is.

Keeps in its own database what eligibility and scores rest on, out of what performance and coaching have recorded: who
holds which position, months' ratings, records, readings, mastery, standing. Owns posts and their seats, cycles,
competitions, candidacies and careers. Decides nothing about a person: people do, and it shows what that rests on.
"""
