"""What `import uwsgi` finds in a program that `python -m trisig.uwsgi` has started, and in those that it starts."""

from trisig.uwsgi import attach

if __name__ == "uwsgi":
    attach()  # its module takes the place of this one
