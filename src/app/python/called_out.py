"""What the main thread runs when a signal has called it out of a wait."""


def heard(number, frame):
    """Nothing is to be done: an exception that is on its way is raised in the first Python code that the thread comes to, which is this."""
    # The interpreter looks for it where a loop begins anew, if not before.
    for _ in range(2):
        pass
