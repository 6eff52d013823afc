"""Coaching: helping an employee who is below what is expected.

Owns the coaching plan, from its proposal (out of a detection, with its evidence, or by a person) over assessment,
diagnosis, goals and observation to an outcome that a person decides. Hears from performance what was detected; is told
by the clock when an observation is over. Others learn the standing of a plan from its events.
"""
