"""`python -m trisig` is the `trisig` command."""

from ._cli.main import main

if __name__ == "__main__":
    main()
