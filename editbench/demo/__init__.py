"""The embedded demo: a drawn world, its pairs, and tiny models of the real classes that learnt it."""
