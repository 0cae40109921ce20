"""`python -m trisig` is the `trisig` command."""

from ._cli import main

if __name__ == "__main__":
    main()
