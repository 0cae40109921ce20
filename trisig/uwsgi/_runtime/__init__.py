"""What a process of `trisig uwsgi` is made of: blocking code in its main thread, trio beside it."""
