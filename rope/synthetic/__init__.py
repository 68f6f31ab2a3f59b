"""The mini-ROPE maker: a seeded release and raw pool with planted answers."""
