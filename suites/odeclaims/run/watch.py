"""A worker process that ends with its run.

joblib's workers import this module as they start, so it imports nothing large.
"""

import os
import threading
import time

# Seconds between two looks at whether the run is still there.
LOOK_EVERY_S = 1.0


def end_with(run: int) -> None:
    """End this process soon after the one that started it, which may be killed without a word.

    Otherwise a worker would go on computing, for hours, what nobody waits for.

    Args:
        run: the number of the process that started this one.
    """

    def watch() -> None:
        while os.getppid() == run:
            time.sleep(LOOK_EVERY_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
