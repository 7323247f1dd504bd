"""The bell of Bosingak: it closed the gates at night with 28 strokes and opened them at dawn with 33."""
import time

DAWN_STROKES = 33
PAUSE_SECONDS_MAX = 2.0


def strokes(count: int, pause_seconds: float):
    """Yields the number of each stroke, 1 to `count`, `pause_seconds` apart."""
    for number in range(1, count + 1):
        if number > 1:
            time.sleep(pause_seconds)
        yield number


def pause_from(text: str) -> float:
    """The pause that a query string asks for, in seconds, kept between 0 and PAUSE_SECONDS_MAX."""
    try:
        seconds = float(text)
    except ValueError:
        return 0.2
    return max(0.0, min(seconds, PAUSE_SECONDS_MAX))  # in this order NaN becomes 0
