"""What an installation without extras can do; see `walk`."""
