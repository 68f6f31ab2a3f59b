"""Train and validation: exact sizes, leakage groups, leak audits."""
