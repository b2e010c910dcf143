"""Random lives and deaths of many processes on one store, then peace, then the books: `make torture`.

`worker` is what one process does, `trouble` what the API and the line to S3 do wrong, `storm` who lives, stops and dies
when, `peace` what comes after, `books` whether the promises held, `__main__` the rounds and their figures.
"""
