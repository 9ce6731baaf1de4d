"""Pictures by matplotlib, in one style: readable in print, in grey, and by the colour-blind.

Those of a leaderboard's page are drawn by `svg`: they take the colours of the page, and `verify` compares them to the
letter, which no other version of a library may change.
"""
