"""`python -m cope`, for launchers of many processes."""

from cope.cli import main

if __name__ == "__main__":
    main()
