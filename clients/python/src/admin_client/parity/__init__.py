"""Parity: makes the decision a second time from the rules and a file, and compares it with the database's answers.

engine    the ten rules, the clock, the digest and the response: pure functions
instant   instants beyond the year 9999
store     a file-backed store's document: what is sound in it, and what is wrong with the rest
generate  random stores and requests
database  the other side: a scratch database that is loaded and asked
compare   two answers, byte for byte except evaluated_at and audit
run       a store through both, case by case
report    the outcome, for a terminal and as HTML
"""
