"""Getting the images of a release: plan what is missing, transfer, verify, store, and keep a ledger of what failed."""
