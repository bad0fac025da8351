"""Damage of every kind, made on purpose: mutated files, killed runs, full disks.

    python -m tools.fuzz inputs              mutated files of every kind, some seconds for each
    python -m tools.fuzz inputs image -count 200000 -keep FOLDER
    python -m tools.fuzz corpus              the inputs that once misbehaved, again
    python -m tools.fuzz kills               each command that writes, killed at random moments
    python -m tools.fuzz full_disk           each command that writes, on a disk that fills up

Each prints what it tried and what misbehaved, and exits with 1 if anything did.  The property of
`check` is the same everywhere: a result, or one line that says what is wrong; never anything else.
CONTRIBUTING.md says when to run which.
"""
