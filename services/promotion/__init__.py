"""Promotion: who may be promoted, and why or why not.

Owns the rules of eligibility, effective-dated and each under its own id, and the live view of every employee
against the rules in force. Hears from performance who holds which position since when, employment status and the
months' ratings. Decides nothing about a person: it shows each criterion with the facts it rests on.
"""
