"""Least-cost routing: which trunk takes a call, for what, and why. Pure but for the files of decks, books and exchange rates."""
