"""What several claims share, each module of one trade.

Measuring: ``validity``, ``toy_models``, ``flow_models``, ``digits``, ``timers``. They are in the
digest of every cell that they measure, so they import nothing that judges or shows.
Judging: ``rows``, ``needs``, ``quantities``. Showing: ``marks``, ``pictures``. Telling:
``columns``. ``constants`` holds numbers for all of them.
"""
