"""Questions for people: out to a labelling tool, back into a ledger, and what their answers are worth."""
