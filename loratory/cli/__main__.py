"""`python -m loratory.cli`, where the command is not on the path."""

from loratory.cli import main

if __name__ == "__main__":
    main()
